// Decoding and encoding of one chunk through a chain of bytes-to-bytes codecs.
//
// No size found in stored bytes decides how much memory is taken: the last codec that copies has to give exactly the
// chunk, those before it at most twice the chunk and a little. What does not fit is declined.

#pragma once
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "host.h"
#include "host_crc32c.h"
#include "host_memory.h"

namespace gz {

template <class Function>
Function as(void* address) {
    return reinterpret_cast<Function>(address);
}

inline uint32_t load32(const char* at) {
    const unsigned char* byte = reinterpret_cast<const unsigned char*>(at);
    return byte[0] | byte[1] << 8 | byte[2] << 16 | uint32_t{byte[3]} << 24;
}

inline void store32(char* at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = static_cast<char>(value >> 8 * i);
}

inline bool copies(const gz_op& op) { return op.op != GZ_CRC32C; }

// ---- decoding: `in` to `dst`, which holds `room` bytes; `*n` is set to the bytes written ----------------------------

inline int decode_zstd(const gz_codecs& codecs, Bytes in, char* dst, int64_t room, int64_t* n) {
    using Decompress = size_t (*)(void*, void*, size_t, const void*, size_t);
    void* context = scratch().zstd_d.get(as<void* (*)()>(codecs.zstd_create_dctx), codecs.zstd_create_dctx,
                                         codecs.zstd_free_dctx);
    if (context == nullptr || codecs.zstd_decompress_dctx == nullptr) return GZ_DECLINED;
    // One call takes several frames, skippable ones, and frames that do not say their size. Errors are huge numbers.
    const size_t size = as<Decompress>(codecs.zstd_decompress_dctx)(context, dst, room, in.at, in.n);
    if (size > static_cast<size_t>(room)) return GZ_CORRUPT;
    *n = static_cast<int64_t>(size);
    return GZ_OK;
}

// The header (blosc 1): version, codec's version, flags, typesize; as i32le: decoded, block and container size.
inline int decode_blosc(const gz_codecs& codecs, Bytes in, char* dst, int64_t room, int64_t* n) {
    using Decompress = int (*)(const void*, void*, size_t, int threads);
    if (codecs.blosc_decompress_ctx == nullptr) return GZ_DECLINED;
    if (in.n < 16) return GZ_CORRUPT;
    const int64_t size = load32(in.at + 4), block = load32(in.at + 8), container = load32(in.at + 12);
    // The library is told neither the container's size nor much about the blocks: odd headers are for the slow path.
    if (in.at[0] != 2 || in.at[3] == 0 || block == 0 || block > size || container != in.n) return GZ_DECLINED;
    if (size > room) return GZ_SIZE;
    if (as<Decompress>(codecs.blosc_decompress_ctx)(in.at, dst, size, 1) != size) return GZ_CORRUPT;
    *n = size;
    return GZ_OK;
}

// numcodecs' form: decoded size (u32le), then one block.
inline int decode_lz4(const gz_codecs& codecs, Bytes in, char* dst, int64_t room, int64_t* n) {
    using Decompress = int (*)(const char*, char*, int, int);
    if (codecs.lz4_decompress_safe == nullptr) return GZ_DECLINED;
    if (in.n < 4) return GZ_CORRUPT;
    const int64_t size = load32(in.at);
    if (size == 0 || size > INT_MAX || in.n - 4 > INT_MAX) return GZ_DECLINED;
    if (size > room) return GZ_SIZE;
    const int got = as<Decompress>(codecs.lz4_decompress_safe)(in.at + 4, dst, static_cast<int>(in.n - 4),
                                                               static_cast<int>(size));
    if (got != size) return GZ_CORRUPT;
    *n = size;
    return GZ_OK;
}

inline int decode_deflate(const gz_codecs& codecs, void* decompress, Bytes in, char* dst, int64_t room, int64_t* n) {
    using Decompress = int (*)(void*, const void*, size_t, void*, size_t, size_t* taken, size_t* given);
    void* context = scratch().deflate_d.get(as<void* (*)()>(codecs.deflate_alloc_decompressor),
                                            codecs.deflate_alloc_decompressor, codecs.deflate_free_decompressor);
    if (context == nullptr || decompress == nullptr) return GZ_DECLINED;
    size_t taken = 0, given = 0;
    const int error = as<Decompress>(decompress)(context, in.at, in.n, dst, room, &taken, &given);
    if (error == 3) return GZ_SIZE;  // LIBDEFLATE_INSUFFICIENT_SPACE
    if (error != 0) return GZ_CORRUPT;
    if (taken != static_cast<size_t>(in.n)) return GZ_DECLINED;  // another member follows, or padding
    *n = static_cast<int64_t>(given);
    return GZ_OK;
}

inline int decode_op(const gz_codecs& codecs, const gz_op& op, Bytes in, char* dst, int64_t room, int64_t* n) {
    switch (op.op) {
        case GZ_ZSTD: return decode_zstd(codecs, in, dst, room, n);
        case GZ_BLOSC: return decode_blosc(codecs, in, dst, room, n);
        case GZ_LZ4: return decode_lz4(codecs, in, dst, room, n);
        case GZ_GZIP: return decode_deflate(codecs, codecs.deflate_gzip_decompress, in, dst, room, n);
        case GZ_ZLIB: return decode_deflate(codecs, codecs.deflate_zlib_decompress, in, dst, room, n);
        default: return GZ_DECLINED;
    }
}

inline int check_crc32c(Bytes* bytes) {
    if (bytes->n < 4) return GZ_SHORT;
    bytes->n -= 4;
    return crc32c(bytes->at, bytes->n) == load32(bytes->at + bytes->n) ? GZ_OK : GZ_CHECKSUM;
}

// A chain in decode order: what each codec may take, worked out once a run.
class Decoder {
  public:
    Decoder(const gz_codecs* codecs, const gz_op* ops, int64_t n_ops, int64_t chunk_nbytes)
        : codecs_(codecs), ops_(ops), n_ops_(n_ops), chunk_nbytes_(chunk_nbytes), last_size_(chunk_nbytes) {
        for (int64_t i = 0; i < n_ops; i++) {
            if (copies(ops[i])) last_copy_ = i;
            last_size_ = copies(ops[i]) ? chunk_nbytes : last_size_ + 4;
        }
    }

    // Whether the last codec copies, so that it can be told where to write.
    bool places() const { return n_ops_ > 0 && last_copy_ == n_ops_ - 1; }

    // No stored chunk that decodes to the right size is larger than this, short of a strange encoder.
    int64_t largest_stored() const {
        constexpr int64_t kFloor = int64_t{64} << 20;
        return chunk_nbytes_ > kFloor / 8 ? 8 * chunk_nbytes_ : kFloor;
    }

    // Decodes `bytes` in place: on return they are the chunk. `into`: where the last copy has to go, or nullptr.
    int decode(Bytes* bytes, char* into) const {
        for (int64_t i = 0; i < n_ops_; i++) {
            const int status = copies(ops_[i]) ? copy(i, bytes, into) : check_crc32c(bytes);
            if (status != GZ_OK) return status;
        }
        return bytes->n == chunk_nbytes_ ? GZ_OK : GZ_SIZE;
    }

  private:
    int copy(int64_t i, Bytes* bytes, char* into) const {
        const bool last = i == last_copy_;
        const int64_t room = last ? last_size_ : 2 * chunk_nbytes_ + 65536;
        Buffer& spare = bytes->at == scratch().ping.data() ? scratch().pong : scratch().ping;
        char* dst = last && into != nullptr ? into : spare.reserve(room);
        if (dst == nullptr) return GZ_DECLINED;
        int64_t n = 0;
        const int status = decode_op(*codecs_, ops_[i], *bytes, dst, room, &n);
        *bytes = {dst, n};
        return status;
    }

    const gz_codecs* codecs_;
    const gz_op* ops_;
    int64_t n_ops_, chunk_nbytes_;
    int64_t last_copy_ = -1;
    int64_t last_size_;  // what the last copying codec has to give: the chunk, and checksums that are inside it
};

// ---- encoding ------------------------------------------------------------------------------------------------------

inline int encode_zstd(const gz_codecs& codecs, const gz_op& op, Bytes in, char* dst, int64_t room, int64_t* n) {
    using Set = size_t (*)(void*, int, int);
    using Compress = size_t (*)(void*, void*, size_t, const void*, size_t);
    constexpr int kLevel = 100, kChecksum = 201;  // ZSTD_c_compressionLevel, ZSTD_c_checksumFlag
    void* context = scratch().zstd_c.get(as<void* (*)()>(codecs.zstd_create_cctx), codecs.zstd_create_cctx,
                                         codecs.zstd_free_cctx);
    if (context == nullptr || codecs.zstd_compress2 == nullptr || codecs.zstd_set_parameter == nullptr)
        return GZ_DECLINED;
    // Errors are huge numbers. After one the context would still have the value of another array.
    if (as<Set>(codecs.zstd_set_parameter)(context, kLevel, op.arg[0]) > SIZE_MAX / 2) return GZ_DECLINED;
    if (as<Set>(codecs.zstd_set_parameter)(context, kChecksum, op.arg[1]) > SIZE_MAX / 2) return GZ_DECLINED;
    const size_t size = as<Compress>(codecs.zstd_compress2)(context, dst, room, in.at, in.n);
    if (size > static_cast<size_t>(room)) return GZ_DECLINED;
    *n = static_cast<int64_t>(size);
    return GZ_OK;
}

inline int encode_blosc(const gz_codecs& codecs, const gz_op& op, Bytes in, char* dst, int64_t room, int64_t* n) {
    using Compress = int (*)(int level, int shuffle, size_t typesize, size_t n, const void*, void*, size_t room,
                             const char* name, size_t blocksize, int threads);
    static const char* const kNames[] = {"blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"};
    const int32_t* arg = op.arg;
    if (codecs.blosc_compress_ctx == nullptr || arg[4] < 0 || arg[4] > 5 || in.n > INT_MAX - 16) return GZ_DECLINED;
    const int size = as<Compress>(codecs.blosc_compress_ctx)(arg[0], arg[1], arg[2], in.n, in.at, dst, room,
                                                             kNames[arg[4]], arg[3], 1);
    if (size <= 0) return GZ_DECLINED;
    *n = size;
    return GZ_OK;
}

inline int encode_lz4(const gz_codecs& codecs, const gz_op& op, Bytes in, char* dst, int64_t room, int64_t* n) {
    using Compress = int (*)(const char*, char*, int, int, int acceleration);
    constexpr int64_t kLargest = 0x7E000000;  // LZ4_MAX_INPUT_SIZE
    if (codecs.lz4_compress_fast == nullptr || in.n > kLargest || room < 4) return GZ_DECLINED;
    const int64_t block = room - 4 < INT_MAX ? room - 4 : INT_MAX;
    const int size = as<Compress>(codecs.lz4_compress_fast)(in.at, dst + 4, static_cast<int>(in.n),
                                                            static_cast<int>(block), op.arg[0]);
    if (size <= 0) return GZ_DECLINED;
    store32(dst, static_cast<uint32_t>(in.n));
    *n = size + 4;
    return GZ_OK;
}

inline int encode_deflate(const gz_codecs& codecs, void* compress, const gz_op& op, Bytes in, char* dst, int64_t room,
                          int64_t* n) {
    using Allocate = void* (*)(int level);
    using Compress = size_t (*)(void*, const void*, size_t, void*, size_t);
    const int level = op.arg[0];
    void* context = scratch().deflate_c.get([&] { return as<Allocate>(codecs.deflate_alloc_compressor)(level); },
                                            codecs.deflate_alloc_compressor, codecs.deflate_free_compressor, level);
    if (context == nullptr || compress == nullptr) return GZ_DECLINED;
    const size_t size = as<Compress>(compress)(context, in.at, in.n, dst, room);
    if (size == 0) return GZ_DECLINED;
    *n = static_cast<int64_t>(size);
    return GZ_OK;
}

inline int encode_op(const gz_codecs& codecs, const gz_op& op, Bytes in, char* dst, int64_t room, int64_t* n) {
    switch (op.op) {
        case GZ_ZSTD: return encode_zstd(codecs, op, in, dst, room, n);
        case GZ_BLOSC: return encode_blosc(codecs, op, in, dst, room, n);
        case GZ_LZ4: return encode_lz4(codecs, op, in, dst, room, n);
        case GZ_GZIP: return encode_deflate(codecs, codecs.deflate_gzip_compress, op, in, dst, room, n);
        case GZ_ZLIB: return encode_deflate(codecs, codecs.deflate_zlib_compress, op, in, dst, room, n);
        default: return GZ_DECLINED;
    }
}

// Bytes that `op` makes of `n` at most, or -1.
inline int64_t encode_bound(const gz_codecs& codecs, const gz_op& op, int64_t n) {
    using Bound = size_t (*)(size_t);
    using IntBound = int (*)(int);
    using DeflateBound = size_t (*)(void*, size_t);
    const auto deflate = [n](void* f) { return f == nullptr ? -1 : int64_t(as<DeflateBound>(f)(nullptr, n)); };
    switch (op.op) {
        case GZ_CRC32C: return n + 4;
        case GZ_ZSTD: return codecs.zstd_compress_bound ? int64_t(as<Bound>(codecs.zstd_compress_bound)(n)) : -1;
        case GZ_BLOSC: return codecs.blosc_compress_ctx == nullptr || n > INT_MAX - 16 ? -1 : n + 16;  // its overhead
        case GZ_LZ4: {
            const int block = codecs.lz4_compress_bound && n <= INT_MAX
                                  ? as<IntBound>(codecs.lz4_compress_bound)(static_cast<int>(n)) : 0;
            return block > 0 ? int64_t{4} + block : -1;
        }
        case GZ_GZIP: return deflate(codecs.deflate_gzip_bound);
        case GZ_ZLIB: return deflate(codecs.deflate_zlib_bound);
        default: return -1;
    }
}

// A chain in encode order.
class Encoder {
  public:
    Encoder(const gz_codecs* codecs, const gz_op* ops, int64_t n_ops, int64_t chunk_nbytes)
        : codecs_(codecs), ops_(ops), n_ops_(n_ops), bound_(chunk_nbytes), head_(chunk_nbytes) {
        for (int64_t i = 0; i < n_ops && bound_ >= 0; i++) {
            if (copies(ops[i])) last_copy_ = i;
            if (last_copy_ < 0) head_ += 4;
            bound_ = encode_bound(*codecs, ops[i], bound_);
        }
    }

    // Bytes that no encoded chunk exceeds, nor anything on the way; -1: a codec is missing.
    int64_t bound() const { return bound_; }

    // Whether the first codec copies: then it may read the chunk where it is.
    bool reads() const { return n_ops_ > 0 && copies(ops_[0]); }

    // Whether no codec copies: then the chunk has to be gathered to where its encoded bytes belong.
    bool stays() const { return last_copy_ < 0; }

    // Bytes that a gathered chunk needs: itself, and the checksums that are put behind it.
    int64_t head() const { return head_; }

    // Encodes the chunk to `dst`, which holds bound() bytes. Unless reads(), the chunk lies in head() bytes that may be
    // written; if stays(), it lies at `dst`.
    int encode(Bytes bytes, char* dst, int64_t* size) const {
        for (int64_t i = 0; i < n_ops_; i++) {
            const int status = copies(ops_[i]) ? copy(i, &bytes, dst) : append_crc32c(&bytes);
            if (status != GZ_OK) return status;
        }
        *size = bytes.n;
        return GZ_OK;
    }

  private:
    int copy(int64_t i, Bytes* bytes, char* dst) const {
        Buffer& spare = bytes->at == scratch().ping.data() ? scratch().pong : scratch().ping;
        char* to = i == last_copy_ ? dst : spare.reserve(bound_);
        if (to == nullptr) return GZ_DECLINED;
        const int64_t checksums = 4 * (n_ops_ - 1 - i);  // at most
        int64_t n = 0;
        const int status = encode_op(*codecs_, ops_[i], *bytes, to, bound_ - checksums, &n);
        *bytes = {to, n};
        return status;
    }

    static int append_crc32c(Bytes* bytes) {
        store32(const_cast<char*>(bytes->at) + bytes->n, crc32c(bytes->at, bytes->n));
        bytes->n += 4;
        return GZ_OK;
    }

    const gz_codecs* codecs_;
    const gz_op* ops_;
    int64_t n_ops_;
    int64_t bound_, head_;
    int64_t last_copy_ = -1;
};

}  // namespace gz
