// gz_zstd: Zstandard frames (RFC 8878), as in Zarr's codec and in Blosc.
//
// A row is one frame: `size[i]` bytes at `src[i]`, from the magic number to the last block or the checksum, decode to exactly
// `room[i]` bytes at `dst[i]`; any alignment. Several frames and skippable ones are told apart on the host.
// Launch: one block of 64 threads a row, grid.x = n. No scratch memory.
// The tables are trusted, the frames are not: reads stay within [src, src + size), writes within [dst, dst + room), and steps
// are fewer than size + room and a constant a block. Sizes above 2 GiB - 1 are refused (GZ_FORMAT).
// Statuses: GZ_TRUNCATED, GZ_OVERFLOW, GZ_OFFSET, GZ_SIZE, GZ_CHECKSUM, GZ_FORMAT; what lies at dst is then undefined.
//
// What is accepted: see zstd_blocks.cuh.
//
// Two warps share a frame: one reads sequences, the other decodes literals and then copies, a batch of sequences behind the
// first. Bits of sequences can only be read one after the other, by one lane, and so can matches be copied; the two take about
// as long, and more warps would have nothing to do but to keep registers from other frames, which are what a GPU is filled
// with. One launch does all stages for all frames, the blocks of each in turn: for those of several see zstd_staged.cu.
// Literals that are Huffman-coded are put at the end of the output. That is never in the way: all of them are still to be
// output in this block, so what has been output ends at those not yet used, or before; if not, there is no room for the block.
#include "zstd_blocks.cuh"

// Where decoded literals lie: at the end of the output, where their counting begins with its first byte.
struct gz_zstd_in_output {
    GZ_DEVICE const gz_u8* base(const gz_zstd_frame& f) const { return f.dst; }
    GZ_DEVICE void copy(const gz_zstd_frame& f, gz_u8* to, gz_u32 at, gz_u32 n) const { gz_move_down(to, f.dst + at, n); }
};

// Decodes Huffman-coded literals to the end of the output; by one warp.
GZ_DEVICE gz_i32 gz_zstd_huffman(const gz_zstd_frame& f, gz_zstd_shared& s, const gz_zstd_literals& l) {
    gz_u32 used = 0;
    if (l.type == 2) {
        used = gz_huffman_read(s.tree, f.src, l.at, l.stored);
        if (used == 0) return GZ_FORMAT;
    }
    return gz_zstd_streams(f, s, l, l.at + used, l.stored - used, f.dst + (f.room - l.count));
}

// Begins with the sequences: their tables, and the first batch; by the first warp.
GZ_DEVICE gz_i32 gz_zstd_begin(const gz_zstd_frame& f, gz_zstd_shared& s, gz_zstd_sequences q) {
    if (const gz_i32 wrong = gz_zstd_tables(f, s, q.modes, 7, q.at, q.end)) return wrong;
    bool right = true;
    if (gz_lane() == 0) right = gz_zstd_open(s, f.src, q.at, q.end - q.at);
    gz_syncwarp();
    return gz_any(!right) ? GZ_FORMAT : GZ_OK;
}

// Decodes a block of literals and sequences to f.op.
GZ_DEVICE gz_i32 gz_zstd_block(gz_zstd_frame& f, gz_zstd_shared& s, const gz_zstd_literals& l, const gz_zstd_sequences& q) {
    const bool first = threadIdx.x < 32;
    __syncthreads();  // nobody uses what the block before left
    gz_i32 status = GZ_OK;
    if (first) {
        if (q.count) status = gz_zstd_begin(f, s, q);
    } else {
        if (gz_lane() == 0) {
            s.output.type = l.type;
            s.output.at = l.type < 2 ? l.at : f.room - l.count;
            s.output.left = l.count;
            s.output.op = f.op;
            s.output.end = f.room - f.op < f.block ? f.room : f.op + f.block;
        }
        if (l.type > 1) status = gz_zstd_huffman(f, s, l);
    }
    gz_u32 read = 0;  // sequences
#pragma unroll 1
    for (gz_u32 k = 0;; k ^= 1) {  // while the second warp executes a batch, the first goes on to the next one
        const gz_u32 left = q.count - read, next = left < GZ_ZSTD_BATCH ? left : GZ_ZSTD_BATCH;
        if (first && next && !status) {
            bool right = true;
            gz_zstd_warm_input(s, f.src);
            if (gz_lane() == 0) right = gz_zstd_read(s, f.src, s.batch[k], next, next == left);
            if (gz_any(!right)) status = GZ_FORMAT;
        }
        if (const gz_i32 wrong = gz_zstd_agree(s, status)) return wrong;
        read += next;
        if (!first) status = gz_zstd_run(f, s.output, s.batch[k], next, read == q.count, gz_zstd_in_output());
        if (read == q.count) break;
    }
    if (const gz_i32 wrong = gz_zstd_agree(s, status)) return wrong;
    f.op = s.output.op;
    f.flags |= (l.type > 1 ? GZ_ZSTD_TREE : 0) | (q.count ? GZ_ZSTD_TABLES : 0);
    return GZ_OK;
}

GZ_DEVICE gz_i32 gz_zstd_decode(gz_zstd_frame& f, gz_zstd_shared& s) {
    if (const gz_i32 wrong = gz_zstd_header(f)) return wrong;
    if (threadIdx.x == 32) {
        s.output.offset[0] = 1;
        s.output.offset[1] = 4;
        s.output.offset[2] = 8;
    }
    while (!(f.flags & GZ_ZSTD_LAST)) {
        if (f.size() - f.at < 3) return GZ_TRUNCATED;
        const gz_u32 word = gz_little(f.src + f.at, 3), type = word >> 1 & 3, length = word >> 3;
        const gz_u32 stored = type == 1 ? 1 : length;
        f.at += 3;
        if (word & 1) f.flags |= GZ_ZSTD_LAST;
        if (type == 3 || length > f.block) return GZ_FORMAT;
        if (f.size() - f.at < stored) return GZ_TRUNCATED;
        gz_zstd_literals l = {type, f.at, stored, length, false};  // as those of a block that has nothing else
        gz_zstd_sequences q = {0, 0, 0, 0};
        gz_i32 wrong = length > f.room - f.op ? GZ_OVERFLOW : GZ_OK;
        if (type == 2) wrong = gz_zstd_block_header(f, length, l, q);
        f.at += stored;
        if (wrong == GZ_OK) wrong = gz_zstd_block(f, s, l, q);
        if (wrong) return wrong;
    }
    return gz_zstd_finish(f);
}

extern "C" __global__ void __launch_bounds__(GZ_ZSTD_THREADS, 16)
gz_zstd(const gz_u64* src, const gz_u64* size, const gz_u64* dst, const gz_u64* room, gz_i32* status, gz_u32 n) {
    __shared__ gz_zstd_shared s;
    const gz_u32 row = blockIdx.x;
    if (row >= n) return;
    gz_zstd_frame f;
    f.src = (const gz_u8*)src[row];
    f.dst = (gz_u8*)dst[row];
    GZ_ASSUME_GLOBAL(f.src);
    GZ_ASSUME_GLOBAL(f.dst);
    f.sizes = size;
    f.room = (gz_u32)room[row];
    f.at = f.op = 0;
    gz_i32 wrong = GZ_FORMAT;
    if (size[row] <= 0x7fffffffu && room[row] <= 0x7fffffffu) wrong = gz_zstd_decode(f, s);
    if (wrong && threadIdx.x == 0) status[row] = wrong;
}
