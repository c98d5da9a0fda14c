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
    },
}

PRIVATE = "names that zarr-python keeps to itself"
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
        "rectilinear grids are tested with the grids": "test_get_coordinate_selection_1d_irregular_grid",
    },
}
