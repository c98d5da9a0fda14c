// The C interface of gpuzarr's host module: one call runs a run of rows of a plan, without the interpreter.
//
// Reads:  fetch stored bytes -> decode -> scatter into the result.     Writes:  gather -> encode -> slab, or files.
//
// Rules
//  - Plain C, every member 8 bytes wide (but gz_op and status): a caller may fill the structs as arrays of int64.
//  - The module holds no codec: it calls the functions in gz_codecs, which the caller took from shared objects that
//    installed packages carry. A codec whose functions are NULL makes its rows GZ_DECLINED.
//  - The caller guarantees that plan columns are consistent (tiles lie inside `out`; int64 sums do not overflow). The
//    module checks everything that stored bytes could influence, and that no tile reaches outside its chunk.
//  - A row with status >= GZ_IO may have left anything in its own part of `out`, and nothing elsewhere. The caller does
//    the row again the slow way, which gives the right result or the precise error: so the module declines freely.
//  - Thread safe: state is per thread and is freed when the thread ends.

#pragma once
#include <stdint.h>

#define GZ_ABI 3  // raised whenever anything below changes

#define GZ_API __attribute__((visibility("default")))

extern "C" {

enum gz_status {
    GZ_OK = 0,
    GZ_ABSENT = 1,    // nothing is stored: the fill value was scattered
    GZ_IO = 2,        // errno in status >> 8
    GZ_SHORT = 3,     // fewer stored bytes than the plan asks for
    GZ_CHECKSUM = 4,  // crc32c differs
    GZ_CORRUPT = 5,   // does not decode
    GZ_SIZE = 6,      // decodes to a wrong size
    GZ_DECLINED = 7,  // legal perhaps, but not for this module
};

enum gz_opcode { GZ_CRC32C = 1, GZ_ZSTD, GZ_BLOSC, GZ_LZ4, GZ_GZIP, GZ_ZLIB };

// A bytes-to-bytes codec. `arg` matters for writing only:
// zstd: level, checksum; blosc: clevel, shuffle, typesize, blocksize, cname (0 blosclz, 1 lz4, 2 lz4hc, 3 snappy,
// 4 zlib, 5 zstd); lz4: acceleration; gzip, zlib: level.
struct gz_op {
    int32_t op;
    int32_t arg[7];
};

// Addresses of codec functions; NULL where there is none. Signatures: host_codecs.h.
struct gz_codecs {
    void *zstd_create_dctx, *zstd_free_dctx, *zstd_decompress_dctx;
    void *zstd_create_cctx, *zstd_free_cctx, *zstd_set_parameter, *zstd_compress2, *zstd_compress_bound;
    void *blosc_decompress_ctx, *blosc_compress_ctx;
    void *lz4_decompress_safe, *lz4_compress_fast, *lz4_compress_bound;
    void *deflate_alloc_decompressor, *deflate_free_decompressor, *deflate_gzip_decompress, *deflate_zlib_decompress;
    void *deflate_alloc_compressor, *deflate_free_compressor, *deflate_gzip_compress, *deflate_zlib_compress;
    void *deflate_gzip_bound, *deflate_zlib_bound;
};

enum gz_source { GZ_FILES = 0, GZ_MEMORY = 1 };
enum gz_tiles { GZ_BOXES = 0, GZ_TABLES = 1, GZ_POINTS = 2 };

struct gz_read {
    const gz_codecs* codecs;
    const gz_op* ops;  // in decode order: ops[0] is applied to the stored bytes
    int64_t n_ops;
    int64_t ndim, itemsize;
    int64_t swap;          // bytes of the unit whose bytes are reversed: 0 (none), 2, 4 or 8
    int64_t chunk_nbytes;  // decoded size of every chunk
    const int64_t* chunk_strides;  // [ndim] bytes, of the result's axes in the decoded chunk
    char* out;
    const int64_t* out_strides;  // [ndim] bytes, any sign
    int64_t streaming;           // not 0: the result is large, so do not pull it through the caches
    const char* fill;            // itemsize bytes, as they go into `out`

    // Where stored bytes come from. An extent is one request; rows share it, sorted by extent.
    int64_t kind;        // gz_source
    const char* prefix;  // files: key k is prefix + the numbers coords[k, :] joined by `separator`
    const int64_t* coords;
    int64_t key_ndim;      // 0: the only key is prefix + zero_key
    int64_t separator;     // one character
    const char* zero_key;
    const char* const* data;   // memory: extent e is data[e] (NULL: absent) ...
    const int64_t* data_size;  // ... of this many bytes
    const int64_t* ext_key;    // files: extent e reads ext_length[e] bytes (-1: the whole file)
    const int64_t* ext_offset;  // at ext_offset[e] of key ext_key[e]
    const int64_t* ext_length;

    const int64_t* row_ext;     // [rows] row r is stored in row_length[r] bytes (-1: to the extent's end)
    const int64_t* row_offset;  // at row_offset[r] of extent row_ext[r]
    const int64_t* row_length;

    const int64_t* tile_start;  // [rows + 1] row r's tiles are tile_start[r] .. tile_start[r + 1]
    const int64_t *source, *target, *count, *step;  // [tiles, ndim]
    int64_t tiles_kind;                             // gz_tiles:
    // boxes:  on axis d, i < count: chunk index source + step * i goes to index target + i of out
    // tables: on axis d, i < count: table_source[d][source + i] goes to table_target[d][source + i], both indices
    // points: p < count[t, 0]: chunk byte table_source[0][source[t, 0] + p] goes to out byte table_target[0][same]
    const int64_t* const* table_source;
    const int64_t* const* table_target;

    int32_t* status;  // [rows] out: gz_status
};

struct gz_write {
    const gz_codecs* codecs;
    const gz_op* ops;  // in encode order
    int64_t n_ops;
    int64_t ndim, itemsize, swap, chunk_nbytes;
    const int64_t* chunk_strides;  // [ndim] bytes, of the value's axes in the encoded chunk
    const char* src;
    const int64_t* src_strides;  // [ndim] bytes; 0 broadcasts
    const char* fill;            // itemsize bytes, in the order of `src` (the module swaps)
    int64_t skip_fill;           // not 0: a chunk of nothing but `fill`, bit for bit, gets size -1 and no bytes
    // [rows, ndim]: `count` elements at `source` of src land at `target` of the chunk; the rest of it is `fill`
    const int64_t *source, *target, *count;
    char* slab;        // where encoded bytes go; NULL: into files
    int64_t capacity;  // row r is encoded to slab + r * capacity; at least gz_encode_bound()
    int64_t packed;    // not 0: to slab, behind the rows of the same call before it; there is `capacity` for each

    // Files: row r is the value of key r, named as in gz_read. It is written whole to `temporary`, a name that nobody
    // else takes, in the same folder (made if there is none), and then moved to its own: so a value is never seen in
    // parts. Nothing is done about a row of size -1.
    const char* prefix;
    const int64_t* coords;
    int64_t key_ndim;
    int64_t separator;
    const char* zero_key;
    const char* temporary;

    int64_t* size;    // [rows] out: encoded bytes
    int32_t* status;  // [rows] out: gz_status
};

// A small read, planned here: its plan in Python would take longer than the read does. The chunks of an array that are
// files of their own, or lie in one shard of one level.
struct gz_box {
    gz_read read;          // what is the same for every box: not `out`, its strides, keys, extents, rows and tiles
    const int64_t* chunk;  // [ndim] shape of a chunk
    const int64_t* grid;   // [ndim] chunks of a shard along each axis; NULL: chunks are files
};

enum { GZ_BOX_DIMS = 8, GZ_BOX_ROWS = 64 };

GZ_API int64_t gz_abi(void);                                           // GZ_ABI of the build
GZ_API int64_t gz_read_run(const gz_read*, int64_t lo, int64_t hi);    // rows lo .. hi; how many are > GZ_ABSENT
// Elements start[k] .. start[k] + count[k] (at least one) to `out`, which is of shape `count` in C order. In a shard (of
// which `coords` is the key, `index` offsets and lengths of all its chunks) they are counted from its first element.
// 0: all is there. Else nothing is said of it, and the caller plans.
GZ_API int64_t gz_read_box(const gz_box*, const int64_t* start, const int64_t* count, const int64_t* coords,
                           const int64_t* index, char* out);
GZ_API int64_t gz_encode_bound(const gz_write*);                       // bytes no encoded chunk exceeds; -1: declined
GZ_API int64_t gz_write_run(const gz_write*, int64_t lo, int64_t hi);  // rows lo .. hi; how many are > GZ_OK
}
