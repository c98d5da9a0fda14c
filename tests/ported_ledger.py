"""Which test stands for which of zarr-python's: those of its suites that touch public names only, by file.

Read from zarr-python's main branch of August 2026. A test that is not listed under COVERED is under LEFT, with the
reason: it is about names that zarr-python keeps to itself, or about what gpuzarr has not, on purpose.
"""

from __future__ import annotations

__all__ = ["COVERED", "LEFT"]

COVERED: dict[str, dict[str, str]] = {
    "test_indexing.py": {
        "test_ported_indexing.py::test_reading": """
            test_get_basic_selection_0d test_get_basic_selection_1d test_get_basic_selection_1d_raises
            test_get_basic_selection_2d test_get_basic_selection_2d_raises test_basic_2d_fancy_fallback
            test_fancy_indexing_fallback_on_get_setitem test_orthogonal_indexing_fallback_on_getitem_2d
            test_orthogonal_indexing_fallback_on_getitem_3d test_fancy_indexing_doesnt_mix_with_implicit_slicing
            test_get_orthogonal_selection_1d_bool test_get_orthogonal_selection_1d_bool_raises
            test_get_orthogonal_selection_1d_int test_get_orthogonal_selection_1d_int_raises
            test_get_orthogonal_selection_2d test_get_orthogonal_selection_2d_raises test_get_orthogonal_selection_3d
            test_orthogonal_indexing_edge_cases test_get_coordinate_selection_1d
            test_get_coordinate_selection_1d_fast_path test_coordinate_selection_1d_narrow_dtype_large_chunk
            test_get_coordinate_selection_1d_raises test_get_coordinate_selection_2d
            test_get_coordinate_selection_2d_raises test_get_block_selection_1d test_get_block_selection_1d_raises
            test_get_block_selection_2d test_get_block_selection_2d_raises test_get_mask_selection_1d
            test_get_mask_selection_1d_raises test_get_mask_selection_2d test_get_mask_selection_2d_raises
            test_numpy_int_indexing test_indexing_equals_numpy test_orthogonal_bool_indexing_like_numpy_ix
        """,
        "test_ported_indexing.py::test_assigning": """
            test_set_basic_selection_0d test_orthogonal_indexing_fallback_on_setitem_2d
            test_set_orthogonal_selection_1d test_set_orthogonal_selection_2d test_set_orthogonal_selection_3d
            test_orthogonal_indexing_fallback_on_get_setitem test_set_coordinate_selection_1d
            test_set_coordinate_selection_2d test_set_block_selection_1d test_set_block_selection_1d_raises
            test_set_block_selection_2d test_set_block_selection_2d_raises test_set_mask_selection_1d
            test_set_mask_selection_1d_raises test_set_mask_selection_2d test_set_item_1d_last_two_chunks
        """,
        "test_ported_indexing.py::test_values": """
            test_setitem_zarr_array_as_value test_setitem_repeated_index test_indexing_with_zarr_array
            test_vectorized_indexing_incompatible_shape
        """,
        "test_ported_indexing.py::test_fields_are_those_that_zarr_pythons_tests_would_have": """
            test_get_selections_with_fields
        """,
        "test_indexing.py::test_writing_fields_leaves_the_others_alone": "test_set_selections_with_fields",
        "test_indexing.py::test_reading_into_memory_of_any_strides_touches_nothing_else": "test_get_selection_out",
        "test_ported_indexing.py::test_only_the_chunks_that_a_selection_meets_are_touched_and_each_once": """
            test_accessed_chunks
        """,
        "test_ported_indexing.py::test_arrays_without_elements": "test_zero_sized_chunks",
        "test_rectilinear.py::test_every_selection_is_numpys": "test_get_coordinate_selection_1d_irregular_grid",
    },
    "test_array.py": {
        "test_ported_array.py::test_arrays": """
            test_array_creation_existing_node test_create_creates_parents test_array_name_properties_no_group
            test_array_name_properties_with_group test_array_fill_value_default test_array_v3_fill_value
            test_array_v3_nan_fill_value test_serializable_sync_array test_nchunks test_nchunks_initialized
            test_update_attrs test_resize_1d test_resize_2d test_append_1d test_append_2d test_append_2d_axis
            test_append_bad_shape test_write_empty_chunks_negative_zero test_nbytes test_chunks_and_shards
            test_default_fill_value test_default_fill_value_None test_dtype_forms test_dtype_roundtrip
            test_v3_chunk_encoding test_chunk_key_encoding test_create_array_invalid_v2_arguments
            test_v2_chunk_encoding test_default_filters_compressors test_v2_no_shards test_with_data
            test_with_data_invalid_params test_data_ignored_params test_name test_default_endianness
            test_scalar_array test_array_repr test_chunk_grid_shape test_create_array_chunks_1d
            test_create_array_chunks_3d test_resize_growing_skips_chunk_enumeration
        """,
        "test_ported_array.py::test_complex_fill_values_keep_every_bit": "test_special_complex_fill_values_roundtrip",
        "test_ported_array.py::test_whole_chunks_are_written_without_reading_them": "test_orthogonal_set_total_slice",
        "test_ported_array.py::test_making_an_array_of_values_reads_no_chunk": "test_create_array_with_data_num_gets",
        "test_ported_sharding.py::test_a_shard_is_read_where_a_part_is_written_and_never_for_all_of_it": """
            test_shard_write_num_gets
        """,
        "test_ported_sharding.py::test_shards": """
            test_sharding_coordinate_selection test_auto_partition_auto_shards
            test_auto_partition_auto_shards_with_auto_chunks_should_be_close_to_1MiB
        """,
        "test_array.py::test_chunks_of_nothing_but_fill_are_removed_unless_asked_for": """
            test_write_empty_chunks_behavior test_write_empty_chunks_config
        """,
        "test_array.py::test_configuring_gives_another_view_and_leaves_the_first_alone": """
            test_with_config test_with_config_polymorphism
        """,
        "test_array.py::test_an_array_pickles_to_a_spawned_process": "test_multiprocessing",
        "test_hierarchy.py::test_a_folder_is_renamed_not_copied": """
            test_creation_from_other_zarr_format test_from_array test_from_array_arraylike test_from_array_F_order
        """,
        "test_interop.py::test_create_array_takes_codecs_of_zarr_python_and_numcodecs": "test_roundtrip_numcodecs",
        "test_array.py::test_stored_chunks_are_counted": "test_nbytes_stored",
        "test_report.py::test_info_is_a_table_and_json": "test_info_v2 test_info_v3 test_info_complete",
        "test_metadata.py::test_what_is_legal_but_not_read_is_unsupported": "test_storage_transformers",
    },
    "test_group.py": {
        "test_ported_group.py::test_groups": """
            test_create_creates_parents test_group_name_properties test_group_members test_group test_group_create
            test_group_open test_group_getitem test_group_get_with_default test_group_delitem test_group_iter
            test_group_len test_group_setitem test_group_contains test_group_child_iterators
            test_group_update_attributes test_group_create_array test_create_with_parent_array
            test_group_creation_existing_node test_serializable_sync_group test_members_name test_update_attrs
            test_delitem_removes_children test_open_mutable_mapping_sync test_open_consolidated_raises
            test_open_array_as_group test_require_group test_require_array test_require_array_zdtype
            test_group_getitem_consolidated test_group_delitem_consolidated test_group_members_async
        """,
        "test_ported_api.py::test_functions": "test_group_array_like_creation test_group_array_creation",
        "test_ported_group.py::test_of_two_formats_in_one_place_the_newer_is_opened": "test_open_ambiguous_node",
        "test_ported_group.py::test_members_that_others_add_to_a_groups_document_are_left_alone": """
            test_from_dict_extra_fields
        """,
        "test_ported_group.py::test_listing_a_group_reads_a_document_for_each_member_and_no_chunks": """
            test_group_members_performance test_group_members_concurrency_limit
        """,
        "test_report.py::test_group_info_counts_what_can_be_opened_and_what_can_not": "test_info",
    },
    "test_api.py": {
        "test_ported_api.py::test_functions": """
            test_create_array test_open_normalized_path test_open_array test_create_group test_open_group
            test_open_group_unspecified_version test_save test_group_setitem_loads_scalar_arrays test_save_errors
            test_open_with_mode_r test_open_with_mode_r_plus test_open_with_mode_a test_open_with_mode_w
            test_open_with_mode_w_minus test_load_array test_load_zip test_load_local
            test_open_falls_back_to_open_group test_open_modes_creates_group test_metadata_validation_error
            test_open_array_with_mode_r_plus test_v2_without_compressor test_v2_with_v3_compressor
            test_no_overwrite_array test_no_overwrite_group test_no_overwrite_open test_no_overwrite_load
            test_array_open_array_not_found_sync
        """,
        "test_ported_api.py::test_an_array_like_another_is_encoded_as_it_is": "test_array_like_creation",
        "test_ported_group.py::test_of_two_formats_in_one_place_the_newer_is_opened": """
            test_v2_and_v3_exist_at_same_path
        """,
        "test_ported_group.py::test_groups": "test_tree",
        "test_rectilinear.py::test_zarr_python_reads_and_resizes_what_is_written": "test_open_array_rectilinear_chunks",
        "test_ported_array.py::test_arrays": "test_create test_array_order",
        "test_api.py::test_options_hold_for_what_is_made_and_loaded": """
            test_open_array_respects_write_empty_chunks_config
        """,
        "test_gpu.py::test_results_are_torch_tensors_in_its_own_memory": "test_gpu_basic",
    },
    "test_sharding.py": {
        "test_ported_sharding.py::test_transposed_and_compressed_chunks_in_shards": """
            test_sharding test_create_array_with_dict_shards_index_location
        """,
        "test_ported_sharding.py::test_shards": """
            test_sharding_scalar test_sharding_partial test_sharding_partial_readwrite test_sharding_partial_read
            test_sharding_duplicate_read_indexes
            test_sharding_read_empty_chunks_within_non_empty_shard_write_empty_false
            test_sharding_read_empty_chunks_within_empty_shard_write_empty_false test_sharding_partial_overwrite
            test_open_sharding test_write_partial_sharded_chunks test_delete_empty_shards
            test_structured_dtype_fill_value test_sharding_with_empty_inner_chunk
            test_sharding_with_chunks_per_shard test_invalid_metadata test_invalid_shard_shape
            test_sharding_mixed_integer_list_indexing test_sharding_zero_dimensional
        """,
        "test_ported_sharding.py::test_a_part_of_a_shard_is_read_without_the_rest": """
            test_sharding_multiple_chunks_partial_shard_read
        """,
        "test_ported_sharding.py::test_a_shard_that_is_gone_reads_as_the_fill_value": """
            test_sharding_partial_shard_read__index_load_fails
        """,
        "test_ported_sharding.py::test_shards_in_shards": "test_nested_sharding test_nested_sharding_create_array",
        "test_ported_sharding.py::test_strings_of_any_length_in_shards": "test_sharding_vlen_inner_codec_roundtrip",
        "test_ported_sharding.py::test_the_codec_pickles_and_goes_through_its_document": """
            test_pickle test_sharding_codec_accepts_all_index_locations
            test_sharding_codec_json_roundtrip_index_location test_sharding_codec_rejects_unknown_index_location
        """,
    },
}

PRIVATE = "names that zarr-python keeps to itself"
ABSENT = "functions that gpuzarr has not: docs/zarr-python.md says what stands for them"
OLD = "arguments that zarr-python itself warns of"
METHODS = "methods for each kind of selection, which are `[]`, `oindex`, `vindex`, `blocks` and `read` here"
ASYNC = "no asynchronous interface"

LEFT: dict[str, dict[str, str]] = {
    "test_indexing.py": {
        PRIVATE: """
            test_normalize_integer_selection test_replace_ellipsis test_slice_selection_uints test_iter_grid
            test_iter_grid_invalid test_iter_chunk_regions test_iter_regions
            test_coordinate_indexer_1d_last_chunk_boundary_does_not_overflow
            test_coordinate_indexer_1d_sparse_selection_uses_general_path
        """,
        METHODS: "test_get_basic_selection_1d_rejects_integer_list test_get_basic_selection_2d_rejects_list_in_tuple",
        ASYNC: """
            test_async_oindex test_async_oindex_with_zarr_array test_async_vindex test_async_vindex_with_zarr_array
            test_async_invalid_indexer
        """,
    },
    "test_array.py": {
        PRIVATE: """
            test_chunks_initialized test_chunk_encoding_no_object_codec_errors
            test_unknown_object_codec_default_serializer_v3 test_unknown_object_codec_default_filters_v2
            test_iter_chunk_coords test_iter_shard_coords test_iter_shard_keys test_iter_shard_regions
            test_iter_chunk_regions test_create_array_method_signature
        """,
        ABSENT: "test_create_invalid_v2_arguments test_invalid_v3_arguments",
        ASYNC: """
            test_serializable_async_array test_nbytes_stored_async test_info_v2_async test_info_v3_async
            test_info_complete_async
        """,
    },
    "test_group.py": {
        PRIVATE: """
            test_group_init test_consistent_signatures test_normed_keys test_empty test_implicit_groups
            test_build_metadata_v3 test_get_roots test_create_nodes test_create_nodes_concurrency_limit
        """,
        ABSENT: """
            test_group_get_array test_group_get_array_missing test_group_get_array_wrong_node_type
            test_group_get_group test_group_get_group_missing test_group_get_group_wrong_node_type
            test_require_groups test_create_hierarchy test_create_hierarchy_existing_nodes
            test_group_create_hierarchy test_group_create_hierarchy_no_root
            test_group_create_hierarchy_invalid_mixed_zarr_format test_create_hierarchy_invalid_nested
            test_create_hierarchy_invalid_mixed_format test_create_rooted_hierarchy_group
            test_create_rooted_hierarchy_array test_create_rooted_hierarchy_invalid
        """,
        ASYNC: """
            test_group_update_attributes_async test_asyncgroup_create test_asyncgroup_attrs test_asyncgroup_open
            test_asyncgroup_open_wrong_format test_asyncgroup_from_dict test_asyncgroup_getitem
            test_asyncgroup_delitem test_asyncgroup_create_group test_asyncgroup_create_array
            test_asyncgroup_update_attributes test_serializable_async_group test_open_mutable_mapping
            test_open_consolidated_raises_async
        """,
    },
    "test_api.py": {
        PRIVATE: "test_consistent_signatures test_api_exports",
        ABSENT: "test_open_like_creates_array_by_default test_open_like_default_mode_rejects_read_only_store",
        "automatic chunks are others: docs/zarr-python.md": "test_auto_chunks",
        OLD: "test_write_empty_chunks_warns test_init_order_warns test_unimplemented_kwarg_warnings",
        ASYNC: "test_async_array_open_array_not_found test_open_falls_back_to_open_group_async",
    },
    "test_sharding.py": {
        PRIVATE: """
            test_encoded_subchunk_write_order test_subchunk_write_order_roundtrip
            test_shard_index_stores_chunks_per_shard_explicitly test_shard_index_get_chunk_slices_vectorized
            test_shard_reader_to_dict_vectorized
        """,
        OLD: """
            test_sharding_index_location_member_access_warns test_sharding_index_location_class_imports_silently
            test_sharding_codec_init_with_enum_instance_warns test_sharding_codec_init_with_deprecated_class_member
            test_sharding_index_location_attribute_error_for_unknown_member
        """,
        "a chunk that an index names and that is not there is an error here, not the fill value": """
            test_sharding_partial_shard_read__index_chunk_slice_fails
            test_sharding_partial_shard_read__chunk_load_fails
        """,
    },
}
