// gz_zstd_entropy, gz_zstd_execute: Zstandard frames of several blocks, in two launches for all frames.
//
// gz_zstd decodes the blocks of a frame one after the other, because each may use tables of those before. But only what
// matches repeat needs decoded bytes; tables need only their descriptions, and headers tell where those are. So the host
// finds the compressed blocks of all frames from their headers, and the earlier blocks that describe what each uses, and then
// - gz_zstd_entropy decodes the literals and sequences of all blocks side by side, to scratch memory;
// - gz_zstd_execute executes the sequences of a frame, and copies its blocks that are not compressed: a warp a frame.
// What it costs: 16 bytes of scratch memory a sequence and one a literal, written and read once; and a block that uses an
// earlier one's tables makes them again. What is accepted: see zstd_blocks.cuh; statuses as gz_zstd has them, but where several
// things are wrong, it may be another of them that is told.
//
// gz_zstd_entropy: a row is a compressed block, whose header is `at[i]` bytes from the beginning of its frame, of `size[i]`
// bytes at `src[i]` that decode to `room[i]`; any alignment. origin[4 * i] and the three behind are where in the frame the
// headers of the blocks are that describe its Huffman tree and its tables of lengths of literals, offsets and lengths of
// matches: earlier ones, the block itself, or 0 where there are none (where the magic number is, which is no block's header).
// There is room for `most_literals[i]` literals (those that are Huffman-coded) at `literals[i]`, and for `most_sequences[i]`
// sequences at `sequences[i]`, both aligned to 16 bytes.
// found[i] is always written. Launch: one block of 64 threads a row, grid.x = n.
// gz_zstd_execute: a row is a frame, as gz_zstd has them; rows first[i] to first[i + 1] of the other's are its blocks, in their
// order, with `at`, `literals`, `sequences` and `found` as there. Launch: one block of 32 threads a row, grid.x = n.
// The tables are trusted, the frames are not; no count in them is believed beyond the room there is. A thread makes at most
// - of gz_zstd_entropy 5 steps for each byte of scratch memory that its block has (one a literal, 16 a sequence), and 32,000;
// - of gz_zstd_execute 16 for each byte of its frame and of the output and 350 for each block, one counted for the frame.
#include "zstd_blocks.cuh"

// Where decoded literals lie: in scratch memory.
struct gz_zstd_beside {
    const gz_u8* literals;
    gz_u32 count;
    GZ_DEVICE const gz_u8* base(const gz_zstd_frame&) const { return literals; }
    GZ_DEVICE void copy(const gz_zstd_frame&, gz_u8* to, gz_u32 at, gz_u32 n) const {
        GZ_ASSUME_GLOBAL(literals);
        gz_copy_apart(to, literals + at, n, literals, literals + count);
    }
};

// Row `row` of the tables, up to the frame's first block.
GZ_DEVICE gz_i32 gz_zstd_begin(gz_zstd_frame& f, const gz_u64* src, const gz_u64* size, const gz_u64* room, gz_u32 row) {
    f.src = (const gz_u8*)src[row];
    GZ_ASSUME_GLOBAL(f.src);
    f.sizes = size;
    f.room = (gz_u32)room[row];
    f.at = f.op = 0;
    if (size[row] > 0x7fffffffu || room[row] > 0x7fffffffu) return GZ_FORMAT;
    return gz_zstd_header(f);
}

// Reads the header of the next block, and those within it; f.at moves behind the block. One that is not compressed has only
// literals. (gz_zstd has the same in its loop: there it must not take a register more.)
GZ_DEVICE gz_i32 gz_zstd_next(gz_zstd_frame& f, gz_u32& type, gz_zstd_literals& l, gz_zstd_sequences& q) {
    if (f.size() - f.at < 3) return GZ_TRUNCATED;
    const gz_u32 word = gz_little(f.src + f.at, 3), length = word >> 3, stored = (word >> 1 & 3) == 1 ? 1 : length;
    type = word >> 1 & 3;
    f.at += 3;
    if (word & 1) f.flags |= GZ_ZSTD_LAST;
    if (type == 3 || length > f.block) return GZ_FORMAT;
    if (f.size() - f.at < stored) return GZ_TRUNCATED;
    l = {type, f.at, stored, length, false};
    q = {0, 0, 0, 0};
    gz_i32 wrong = length > f.room - f.op ? GZ_OVERFLOW : GZ_OK;
    if (type == 2) wrong = gz_zstd_block_header(f, length, l, q);
    f.at += stored;
    return wrong;
}

// ---- literals and sequences of a block ---------------------------------------------------------------------------------

// Reads the headers of the block that begins at `at`.
GZ_DEVICE gz_i32 gz_zstd_look(gz_zstd_frame f, gz_u32 at, gz_zstd_literals& l, gz_zstd_sequences& q) {
    gz_u32 type;
    f.at = at;
    return gz_zstd_next(f, type, l, q);
}

// Decodes the Huffman-coded literals of a block; by one warp.
GZ_DEVICE gz_i32 gz_zstd_decode_literals(const gz_zstd_frame& f, gz_zstd_shared& s, const gz_zstd_literals& l, gz_u64 origin,
                                         gz_u8* to) {
    gz_zstd_literals told = l;
    if (l.type == 3) {
        gz_zstd_sequences q;
        if (const gz_i32 wrong = gz_zstd_look(f, (gz_u32)origin, told, q)) return wrong;
    }
    gz_u32 used = gz_huffman_read(s.tree, f.src, told.at, told.stored);
    if (used == 0) return GZ_FORMAT;
    if (l.type == 3) used = 0;
    return gz_zstd_streams(f, s, l, l.at + used, l.stored - used, to);
}

// Decodes the sequences of a block; by one warp.
GZ_DEVICE gz_i32 gz_zstd_decode_sequences(const gz_zstd_frame& f, gz_zstd_shared& s, gz_zstd_sequences q, const gz_u64* origin,
                                          uint4* to) {
#pragma unroll 1
    for (gz_u32 kind = 0; kind < 4; ++kind) {  // tables of earlier blocks, one by one; then the block's own
        gz_zstd_sequences told = q;
        if (kind < 3) {
            gz_zstd_literals l;
            if ((q.modes >> (6 - 2 * kind) & 3) != 3) continue;
            if (const gz_i32 wrong = gz_zstd_look(f, (gz_u32)origin[kind], l, told)) return wrong;
            if ((told.modes >> (6 - 2 * kind) & 3) == 3) return GZ_FORMAT;  // there would be no table
        }
        if (const gz_i32 wrong = gz_zstd_tables(f, s, told.modes, kind < 3 ? 1u << kind : 7, told.at, told.end)) return wrong;
        if (kind == 3) q.at = told.at;
    }
    bool right = true;
    if (gz_lane() == 0) right = gz_zstd_open(s, f.src, q.at, q.end - q.at);
    gz_syncwarp();
#pragma unroll 1
    for (gz_u32 read = 0; read < q.count && !gz_any(!right); read += GZ_ZSTD_BATCH) {
        const gz_u32 left = q.count - read, next = left < GZ_ZSTD_BATCH ? left : GZ_ZSTD_BATCH;
        gz_zstd_warm_input(s, f.src);
        if (gz_lane() == 0) right = gz_zstd_read(s, f.src, to + read, next, next == left);
        gz_syncwarp();
    }
    return gz_any(!right) ? GZ_FORMAT : GZ_OK;
}

extern "C" __global__ void __launch_bounds__(GZ_ZSTD_THREADS, 16)
gz_zstd_entropy(const gz_u64* src, const gz_u64* size, const gz_u64* room, const gz_u64* at, const gz_u64* origin,
                const gz_u64* literals, const gz_u64* most_literals, const gz_u64* sequences, const gz_u64* most_sequences,
                gz_i32* found, gz_u32 n) {
    __shared__ gz_zstd_shared s;
    const gz_u32 row = blockIdx.x;
    if (row >= n) return;
    gz_zstd_frame f;
    gz_zstd_literals l;
    gz_zstd_sequences q;
    gz_i32 wrong = gz_zstd_begin(f, src, size, room, row);
    if (!wrong) {
        f.flags |= GZ_ZSTD_TREE | GZ_ZSTD_TABLES;  // where there are none, their origin is 0, where no block begins
        wrong = gz_zstd_look(f, (gz_u32)at[row], l, q);
    }
    if (!wrong && ((l.type > 1 && l.count > most_literals[row]) || q.count > most_sequences[row])) wrong = GZ_FORMAT;
    if (!wrong && threadIdx.x < 32 && q.count) {
        uint4* const to = (uint4*)sequences[row];
        GZ_ASSUME_GLOBAL(to);
        wrong = gz_zstd_decode_sequences(f, s, q, origin + 4 * row + 1, to);
    } else if (!wrong && threadIdx.x >= 32 && l.type > 1) {
        gz_u8* const to = (gz_u8*)literals[row];
        GZ_ASSUME_GLOBAL(to);
        wrong = gz_zstd_decode_literals(f, s, l, origin[4 * row], to);
    }
    wrong = gz_zstd_agree(s, wrong);
    if (threadIdx.x == 0) found[row] = wrong;
}

// ---- the output of a frame ---------------------------------------------------------------------------------------------

struct gz_zstd_waiting {
    gz_zstd_output output;
    uint4 batch[GZ_ZSTD_BATCH];
};

// Outputs a block of literals and sequences; by one warp.
GZ_DEVICE gz_i32 gz_zstd_output_block(gz_zstd_frame& f, gz_zstd_waiting& s, const gz_zstd_literals& l, gz_u32 count,
                                      const uint4* sequences, const gz_zstd_beside& decoded) {
    const gz_u32 lane = gz_lane();
    gz_syncwarp();  // nobody uses what the block before left
    if (lane == 0) {
        s.output.type = l.type;
        s.output.at = l.type < 2 ? l.at : 0;
        s.output.left = l.count;
        s.output.op = f.op;
        s.output.end = f.room - f.op < f.block ? f.room : f.op + f.block;
    }
    uint4 ahead = make_uint4(0, 0, 0, 0);
    if (lane < count) ahead = sequences[lane];
    for (gz_u32 read = 0;; read += GZ_ZSTD_BATCH) {
        const gz_u32 left = count - read, next = left < GZ_ZSTD_BATCH ? left : GZ_ZSTD_BATCH;
        if (lane < next) s.batch[lane] = ahead;
        if (lane + GZ_ZSTD_BATCH < left) ahead = sequences[read + GZ_ZSTD_BATCH + lane];
        gz_syncwarp();
        if (const gz_i32 wrong = gz_zstd_run(f, s.output, s.batch, next, next == left, decoded)) return wrong;
        if (next == left) break;
    }
    f.op = s.output.op;
    return GZ_OK;
}

GZ_DEVICE gz_i32 gz_zstd_output_frame(gz_zstd_frame& f, gz_zstd_waiting& s, const gz_u64* first, const gz_u64* at,
                                      const gz_u64* literals, const gz_u64* sequences, const gz_i32* found) {
    gz_u32 row = (gz_u32)first[blockIdx.x];
    if (gz_lane() == 0) {
        s.output.offset[0] = 1;
        s.output.offset[1] = 4;
        s.output.offset[2] = 8;
    }
    f.flags |= GZ_ZSTD_TREE | GZ_ZSTD_TABLES;  // if there are none, `found` says so
    while (!(f.flags & GZ_ZSTD_LAST)) {
        gz_u32 type;
        gz_zstd_literals l;
        gz_zstd_sequences q;
        const gz_u32 begin = f.at;
        if (const gz_i32 wrong = gz_zstd_next(f, type, l, q)) return wrong;
        gz_zstd_beside decoded = {f.src, 0};
        const uint4* list = (const uint4*)f.src;
        if (type == 2) {
            if (row == first[blockIdx.x + 1] || begin != at[row]) return GZ_FORMAT;
            if (const gz_i32 wrong = found[row]) return wrong;
            decoded = {(const gz_u8*)literals[row], l.count};
            list = (const uint4*)sequences[row++];
        }
        GZ_ASSUME_GLOBAL(list);
        if (const gz_i32 wrong = gz_zstd_output_block(f, s, l, q.count, list, decoded)) return wrong;
    }
    return gz_zstd_finish(f);
}

// The bounds are those of blocks twice as large, for the sake of registers: not more than 64.
extern "C" __global__ void __launch_bounds__(GZ_ZSTD_THREADS, 16)
gz_zstd_execute(const gz_u64* src, const gz_u64* size, const gz_u64* dst, const gz_u64* room, const gz_u64* first,
                const gz_u64* at, const gz_u64* literals, const gz_u64* sequences, const gz_i32* found, gz_i32* status, gz_u32 n) {
    __shared__ gz_zstd_waiting s;
    const gz_u32 row = blockIdx.x;
    if (row >= n) return;
    gz_zstd_frame f;
    f.dst = (gz_u8*)dst[row];
    GZ_ASSUME_GLOBAL(f.dst);
    gz_i32 wrong = gz_zstd_begin(f, src, size, room, row);
    if (!wrong) wrong = gz_zstd_output_frame(f, s, first, at, literals, sequences, found);
    if (wrong && threadIdx.x == 0) status[row] = wrong;
}
