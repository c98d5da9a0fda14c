// Zstandard frames (RFC 8878): what the kernels that decode them share.
//
// Accepted is what ZSTD_decompress of libzstd 1.5.6 accepts for an output of exactly `room` bytes, with the same bytes; also
// codes of 12 bits, offsets beyond the window, up to the frame's beginning, and window descriptors of any size. But in four
// points the format is taken at its word, where that function is laxer than RFC 8878 and than libzstd's own streaming:
// - Each of four Huffman streams has to end where it should (4.2.2). On some CPUs libzstd does not look.
// - A block, of any type, is not larger than the frame's Block_Maximum_Size (3.1.1.2.4), neither before nor after decoding.
// - The two states that weights of a Huffman tree begin with have to be in their stream (libzstd asks for this from 1.5.7 on).
// - A description of an FSE table has to end within its block (4.1.1). There libzstd may go on reading from an earlier byte.
// Dictionaries are refused (GZ_FORMAT).
#pragma once
#include "lz.cuh"
#include "zstd_tables.cuh"
#include "zstd_xxh64.cuh"

#define GZ_ZSTD_THREADS 64
#define GZ_ZSTD_BATCH 32              // sequences
#define GZ_ZSTD_BLOCK (128u << 10)    // bytes of a block at most

enum { GZ_ZSTD_LITERALS, GZ_ZSTD_OFFSETS, GZ_ZSTD_MATCHES };  // what tables are of, in the order they are described in

// ---- what symbols of sequences mean ------------------------------------------------------------------------------------

// Lengths of literals 16 to 24, and of matches (less 3) 32 to 42: the first that a code stands for, and its additional bits.
__constant__ gz_u8 gz_zstd_first[20] = {16, 18, 20, 22, 24, 28, 32, 40, 48, 32, 34, 36, 38, 40, 44, 48, 56, 64, 80, 96};
__constant__ gz_u8 gz_zstd_more[20] = {1, 1, 1, 1, 2, 2, 3, 3, 4, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5};

// Probabilities that are not described: of lengths of literals, offsets, and lengths of matches.
__constant__ gz_i8 gz_zstd_default[36 + 29 + 53] = {
    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1,
    1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1};

// A number is: first + additional bits, and 1 << their number where `power`. Bits 0-4 their number, 5 power, 6-12 first.
GZ_DEVICE gz_u32 gz_zstd_means(gz_u32 kind, gz_u32 symbol) {
    if (kind == GZ_ZSTD_OFFSETS) return symbol | 32;
    const bool match = kind == GZ_ZSTD_MATCHES;
    const gz_u32 plain = match ? 32 : 16, powers = match ? 43 : 25;
    if (symbol < plain) return symbol << 6;
    if (symbol >= powers) return (symbol - (match ? 36 : 19)) | 32;
    const gz_u32 entry = symbol - plain + (match ? 9 : 0);
    return gz_zstd_more[entry] | (gz_u32)gz_zstd_first[entry] << 6;
}

GZ_DEVICE gz_u32 gz_zstd_number(gz_u32 means, gz_u32 bits) {
    return (means >> 6) + ((means >> 5 & 1) << (means & 31)) + bits;
}

// ---- a frame -----------------------------------------------------------------------------------------------------------

enum {  // of a frame
    GZ_ZSTD_TREE = 1,     // there is one to be used again
    GZ_ZSTD_TABLES = 2,   // there are some
    GZ_ZSTD_CHECKED = 4,  // a checksum follows the last block
    GZ_ZSTD_LAST = 8,     // no block follows
};

// What all threads know alike.
struct gz_zstd_frame {
    const gz_u8* src;
    gz_u8* dst;
    const gz_u64* sizes;  // of all inputs: a kernel's parameter, which needs no register
    gz_u32 room;
    gz_u32 at, op;     // how far input and output got
    gz_u32 block;      // bytes of a block at most
    gz_u32 flags;
    GZ_DEVICE gz_u32 size() const { return (gz_u32)sizes[blockIdx.x]; }
};

// A compressed block's literals.
struct gz_zstd_literals {
    gz_u32 type;    // 0 as they are, 1 one byte for all, 2 Huffman-coded, 3 with the tree before
    gz_u32 at;      // of what stands for them in the input, behind the header
    gz_u32 stored;  // bytes of it
    gz_u32 count;
    bool four;      // streams, not one
};

// How far the output got, as the second warp sees it.
struct gz_zstd_output {
    gz_u32 type;       // of the literals
    gz_u32 at, left;   // where the next is, in the input or, if they are Huffman-coded, in the output; and how many there are
    gz_u32 op, end;    // the block may not go beyond `end`
    gz_u32 offset[3];  // the last three
};

// How far the sequences were read, as the first lane sees it.
struct gz_zstd_reader {
    gz_bits bits;
    gz_u32 literals, matches, offsets;  // states
};

struct gz_zstd_shared {
    gz_huffman tree;
    gz_u32 literals[512], matches[512], offsets[256];
    union {
        uint4 batch[2][GZ_ZSTD_BATCH];  // lengths of literals and match, number of the offset; the last is of no use
        struct {                        // while tables are made
            gz_fse_list list;
            gz_u8 cells[512];
        } making;
    };
    gz_u32 log[3];     // of the cells of each table
    gz_u8 warmed[16];  // see gz_zstd_warm_input; nobody reads it
    // What a warp knows of its work while the other's is done: registers are few.
    gz_zstd_reader reader;
    gz_zstd_output output;
    gz_i32 wrong[2];  // what each warp found
    GZ_DEVICE gz_u32* table(gz_u32 kind) {
        return kind == GZ_ZSTD_LITERALS ? literals : kind == GZ_ZSTD_OFFSETS ? offsets : matches;
    }
};

// ---- literals ----------------------------------------------------------------------------------------------------------

GZ_DEVICE gz_u32 gz_little(const gz_u8* p, gz_u32 n) {  // n: 1 to 4
    gz_u32 value = 0;
    for (gz_u32 k = 0; k < n; ++k) value |= (gz_u32)p[k] << 8 * k;
    return value;
}

// Reads the header of the literals of a block of `length` bytes, 2 or more.
GZ_DEVICE gz_i32 gz_zstd_literals_header(const gz_zstd_frame& f, gz_u32 length, gz_zstd_literals& l) {
    const gz_u8* const p = f.src + f.at;
    const gz_u32 form = p[0] >> 2 & 3;
    l.type = p[0] & 3;
    l.four = l.type > 1 && form > 0;
    gz_u32 header;
    if (l.type < 2) {
        header = form == 1 ? 2 : form == 3 ? 3 : 1;
        if (length < header) return GZ_FORMAT;
        l.count = gz_little(p, header) >> (header == 1 ? 3 : 4);
        l.stored = l.type ? 1 : l.count;
    } else {
        header = form < 2 ? 3 : form + 2;
        if (length < 5) return GZ_FORMAT;
        const gz_u32 bits = form < 2 ? 10 : 4 * form + 6;
        const gz_u64 value = gz_little(p, 4) | (gz_u64)p[4] << 32;
        l.count = (gz_u32)(value >> 4) & ((1u << bits) - 1);
        l.stored = (gz_u32)(value >> (4 + bits)) & ((1u << bits) - 1);
        if ((l.four && l.count < 6) || (l.type == 3 && !(f.flags & GZ_ZSTD_TREE))) return GZ_FORMAT;
    }
    l.at = f.at + header;
    if (l.count > f.block || l.stored > length - header) return GZ_FORMAT;
    return l.count > f.room - f.op ? GZ_OVERFLOW : GZ_OK;
}

// Decodes Huffman-coded literals to `to`, from streams in `size` bytes at `at`; by one warp.
GZ_DEVICE gz_i32 gz_zstd_streams(const gz_zstd_frame& f, const gz_zstd_shared& s, const gz_zstd_literals& l, gz_u32 at,
                                 gz_u32 size, gz_u8* to) {
    gz_u32 count = l.count;
    const gz_u32 lane = gz_lane();
    if (l.four) {
        if (size < 10) return GZ_FORMAT;
        const gz_u8* const sizes = f.src + at;
        const gz_u32 first = gz_little(sizes, 2), second = gz_little(sizes + 2, 2), third = gz_little(sizes + 4, 2);
        const gz_u32 three = first + second + third + 6, each = (count + 3) / 4;
        if (three > size) return GZ_FORMAT;
        at += 6 + (lane > 0 ? first : 0) + (lane > 1 ? second : 0) + (lane > 2 ? third : 0);
        size = lane == 0 ? first : lane == 1 ? second : lane == 2 ? third : size - three;
        to += each * (lane & 3);
        count = lane < 3 ? each : count - 3 * each;
    }
    bool right = true;
    if (lane < (l.four ? 4 : 1)) right = gz_huffman_decode(s.tree, f.src, at, size, to, count);
    return gz_any(!right) ? GZ_FORMAT : GZ_OK;
}

// ---- sequences ---------------------------------------------------------------------------------------------------------

// Makes the tables that are described at `at`, which moves behind, but for those not among `wanted` (a bit a kind), which it
// moves behind all the same. By one warp.
GZ_DEVICE gz_i32 gz_zstd_tables(const gz_zstd_frame& f, gz_zstd_shared& s, gz_u32 modes, gz_u32 wanted, gz_u32& at, gz_u32 end) {
    const gz_u32 lane = gz_lane();
#pragma unroll 1
    for (gz_u32 kind = 0; kind < 3; ++kind) {
        const gz_u32 mode = modes >> (6 - 2 * kind) & 3;
        const gz_u32 symbols = kind == GZ_ZSTD_LITERALS ? 36 : kind == GZ_ZSTD_OFFSETS ? 32 : 53;
        gz_u32* const table = s.table(kind);
        if (mode == 3) continue;
        if (mode == 1) {  // one symbol, and no bits
            if (at == end || f.src[at] >= symbols) return GZ_FORMAT;
            if (lane == 0 && (wanted >> kind & 1)) {
                table[0] = gz_zstd_means(kind, f.src[at]) << 13;
                s.log[kind] = 0;
            }
            ++at;
            continue;
        }
        gz_fse_list& list = s.making.list;
        gz_u32 n = 0, log = 0;
        if (mode == 0) {
            n = kind == GZ_ZSTD_OFFSETS ? 29 : symbols;
            log = kind == GZ_ZSTD_OFFSETS ? 5 : 6;
            const gz_u32 first = kind == GZ_ZSTD_LITERALS ? 0 : kind == GZ_ZSTD_OFFSETS ? 36 : 36 + 29;
            for (gz_u32 i = lane; i < n; i += 32) {
                list.symbol[i] = (gz_u8)i;
                list.count[i] = gz_zstd_default[first + i];
            }
        } else {
            gz_u32 used = 0;
            const gz_u32 most = kind == GZ_ZSTD_OFFSETS ? 8 : 9;
            if (lane == 0) used = gz_fse_describe(f.src + at, end - at, most, symbols, list, n, log);
            used = gz_shfl(used, 0);
            if (used == 0) return GZ_FORMAT;
            n = gz_shfl(n, 0);
            log = gz_shfl(log, 0);
            at += used;
        }
        gz_syncwarp();
        if (!(wanted >> kind & 1)) continue;
        gz_fse_build(table, log, list, n, s.making.cells, [=](gz_u32 symbol) { return gz_zstd_means(kind, symbol); });
        if (lane == 0) s.log[kind] = log;
    }
    gz_syncwarp();
    return GZ_OK;
}

// Reads what the next sequences probably need, so that it is in the cache when the one lane comes to it: each of its misses
// would be waited for. By all lanes; the bytes are put where the compiler has to believe that they are of use.
GZ_DEVICE void gz_zstd_warm_input(gz_zstd_shared& s, const gz_u8* input) {
    const gz_i32 at = s.reader.bits.at - 32 * (gz_i32)gz_lane();
    if (gz_lane() < 16 && at >= s.reader.bits.begin) s.warmed[gz_lane()] = input[at];
    gz_syncwarp();
}

// Begins with the sequences in `size` bytes at `first`; by one lane.
GZ_DEVICE bool gz_zstd_open(gz_zstd_shared& s, const gz_u8* input, gz_u32 first, gz_u32 size) {
    gz_zstd_reader r;
    if (!r.bits.open(input, first, size)) return false;
    r.bits.fill(input);
    r.literals = r.bits.take(s.log[GZ_ZSTD_LITERALS]);
    r.offsets = r.bits.take(s.log[GZ_ZSTD_OFFSETS]);
    r.matches = r.bits.take(s.log[GZ_ZSTD_MATCHES]);
    s.reader = r;
    return true;
}

// Reads the next sequences, by one lane; with `last` the block's last is among them. False where the stream has not as many
// bits, or, then, more.
GZ_DEVICE bool gz_zstd_read(gz_zstd_shared& s, const gz_u8* input, uint4* batch, gz_u32 count, bool last) {
    gz_zstd_reader r = s.reader;
    for (gz_u32 i = 0; i < count; ++i) {
        const gz_u32 literal = s.literals[r.literals], match = s.matches[r.matches], offset = s.offsets[r.offsets];
        uint4 sequence;
        r.bits.fill(input);
        sequence.z = gz_zstd_number(GZ_FSE_MEANS(offset), r.bits.take(GZ_FSE_MEANS(offset) & 31));
        r.bits.fill(input);
        sequence.y = gz_zstd_number(GZ_FSE_MEANS(match), r.bits.take(GZ_FSE_MEANS(match) & 31)) + 3;
        sequence.x = gz_zstd_number(GZ_FSE_MEANS(literal), r.bits.take(GZ_FSE_MEANS(literal) & 31));
        sequence.w = 0;
        batch[i] = sequence;
        if (last && i + 1 == count) return r.bits.rest() == 0;
        r.bits.fill(input);
        r.literals = GZ_FSE_NEXT(literal) + r.bits.take(GZ_FSE_BITS(literal));
        r.matches = GZ_FSE_NEXT(match) + r.bits.take(GZ_FSE_BITS(match));
        r.offsets = GZ_FSE_NEXT(offset) + r.bits.take(GZ_FSE_BITS(offset));
    }
    s.reader = r;
    return r.bits.rest() >= 0;
}

// ---- output, by one warp -----------------------------------------------------------------------------------------------

// n times the same byte.
GZ_DEVICE void gz_fill(gz_u8* to, gz_u32 byte, gz_u32 n) {
    const gz_u32 lane = gz_lane();
    gz_u32 head = (0u - (gz_u32)(gz_u64)to) & 15;
    if (head > n) head = n;
    const gz_u32 tail = (n - head) & 15, word = byte * 0x01010101u;
    const uint4 four = make_uint4(word, word, word, word);
    for (gz_u32 i = head + 16 * lane; i < n - tail; i += 512) *(uint4*)(to + i) = four;
    // lanes 0..15 fill what is left in front, the others behind
    if (lane < 16 ? lane < head : lane - 16 < tail) to[lane < 16 ? lane : n - tail + lane - 16] = (gz_u8)byte;
}

// n bytes to an earlier place, which may reach into where they are now; nothing else is written or read.
GZ_DEVICE void gz_move_down(gz_u8* to, const gz_u8* from, gz_u32 n) {
    const gz_u64 gap = (gz_u64)from - (gz_u64)to;
    if (gap == 0) return;
    if (gap >= 256) {
        while (n) {
            const gz_u32 part = gap < n ? (gz_u32)gap : n;
            gz_copy_apart(to, from, part, from, from + n);
            gz_syncwarp();
            to += part;
            from += part;
            n -= part;
        }
        return;
    }
    for (gz_u32 i = gz_lane(); i - gz_lane() < n; i += 32) {
        const gz_u8 byte = i < n ? from[i] : 0;
        gz_syncwarp();
        if (i < n) to[i] = byte;
    }
}

// What offset a number stands for (RFC 8878 section 3.1.1.5); 0 for one that is wrong.
GZ_DEVICE gz_u32 gz_zstd_offset(gz_zstd_output& o, gz_u32 number, gz_u32 literals) {
    gz_u32 offset = number - 3;
    if (number <= 3) {
        const gz_u32 which = number - (literals ? 1 : 0);
        if (which == 0) return o.offset[0];
        offset = which == 1 ? o.offset[1] : which == 2 ? o.offset[2] : o.offset[0] - 1;
        if (which == 1) {
            o.offset[1] = o.offset[0];
            o.offset[0] = offset;
            return offset;
        }
    }
    o.offset[2] = o.offset[1];
    o.offset[1] = o.offset[0];
    o.offset[0] = offset;
    return offset;
}

// Reads the ends of what the matches of a batch repeat, as gz_zstd_warm_input does; of those that the offset is told of, and
// that begin in what is already output. A lane a sequence.
GZ_DEVICE void gz_zstd_warm_output(const gz_zstd_frame& f, const gz_zstd_output& o, uint4* batch, gz_u32 count) {
    const gz_u32 lane = gz_lane();
    uint4 sequence = make_uint4(0, 0, 0, 0);
    if (lane < count) sequence = batch[lane];
    gz_u32 before = sequence.x + sequence.y;
#pragma unroll
    for (gz_u32 step = 1; step < 32; step *= 2) {
        const gz_u32 more = gz_shfl_up(before, step);
        if (lane >= step) before += more;
    }
    const gz_u32 from = o.op + before - sequence.y - (sequence.z - 3), last = from + sequence.y - 1;
    gz_u32 warmed = 0;
    if (sequence.z > 3 && from < o.op) warmed = f.dst[from] + f.dst[last < o.op ? last : o.op - 1];
    gz_syncwarp();
    if (lane < count) batch[lane].w = warmed;
    gz_syncwarp();
}

// Executes sequences of a batch in shared memory; with `last` the literals that are left then follow. Those that are decoded
// lie where `decoded` says: `base` is what `o.at` counts from, and `copy` brings n of them to the output.
template <class Decoded>
GZ_DEVICE gz_i32 gz_zstd_run(const gz_zstd_frame& f, gz_zstd_output& kept, uint4* batch, gz_u32 count, bool last,
                                 const Decoded& decoded) {
    const gz_u32 lane = gz_lane();
    gz_zstd_output o = kept;
    gz_syncwarp();  // all have it before one lane keeps another
    const gz_u8* const base = o.type < 2 ? f.src : decoded.base(f);
    GZ_ASSUME_GLOBAL(base);
    gz_zstd_warm_output(f, o, batch, count);
    for (gz_u32 i = 0; i < count + last; ++i) {
        gz_u32 literals = o.left, length = 0, offset = 0;
        if (i < count) {
            const uint4 sequence = batch[i];
            literals = sequence.x;
            length = sequence.y;
            offset = gz_zstd_offset(o, sequence.z, literals);
            if (literals > o.left) return GZ_FORMAT;
            // The literals that are left are output in this block, too.
            if (o.left + length > o.end - o.op) return o.left + length > f.room - o.op ? GZ_OVERFLOW : GZ_FORMAT;
            if (offset - 1 >= o.op + literals) return GZ_OFFSET;
        }
        gz_syncwarp();  // what other lanes wrote can be read, what they read can be written
        const gz_u32 both = literals + length;
        if (both > 32) {
            gz_u8* const to = f.dst + o.op;
            if (o.type == 1) gz_fill(to, f.src[o.at], literals);
            else if (o.type == 0) gz_copy_apart(to, f.src + o.at, literals, f.src, f.src + f.size());
            else decoded.copy(f, to, o.at, literals);
            gz_match(f.dst, o.op + literals, offset, length);
        } else {
            gz_u32 step = lane - literals;
            if (offset < length) step %= offset;
            const gz_u32 from = lane < literals ? lane : literals + step - offset;  // after op; before it where negative
            gz_u8 byte = 0;
            // Literals may lie where this is written.
            if (lane < both) byte = (gz_i32)from < 0 ? f.dst[o.op + from] : base[o.at + (o.type == 1 ? 0 : from)];
            gz_syncwarp();
            if (lane < both) f.dst[o.op + lane] = byte;
        }
        if (o.type != 1) o.at += literals;
        o.left -= literals;
        o.op += both;
    }
    if (lane == 0) kept = o;
    gz_syncwarp();
    return GZ_OK;
}

// ---- headers ----------------------------------------------------------------------------------------------------------

// What of a compressed block its headers tell.
struct gz_zstd_sequences {
    gz_u32 count, modes;
    gz_u32 at, end;  // what stands for them in the input, behind the header
};

// Reads the headers of a compressed block of `length` bytes at f.at.
GZ_DEVICE gz_i32 gz_zstd_block_header(const gz_zstd_frame& f, gz_u32 length, gz_zstd_literals& l, gz_zstd_sequences& q) {
    if (length < 2) return GZ_FORMAT;
    if (const gz_i32 wrong = gz_zstd_literals_header(f, length, l)) return wrong;
    q.at = l.at + l.stored;
    q.end = f.at + length;
    if (q.at == q.end) return GZ_FORMAT;
    q.count = f.src[q.at++];
    if (q.count > 127) {
        const gz_u32 more = q.count == 255 ? 2 : 1;
        if (q.end - q.at < more) return GZ_FORMAT;
        q.count = more == 2 ? gz_little(f.src + q.at, 2) + 0x7f00 : (q.count - 128) << 8 | f.src[q.at];
        q.at += more;
    }
    if (q.count == 0) return q.at == q.end ? GZ_OK : GZ_FORMAT;
    if (q.at == q.end) return GZ_FORMAT;
    q.modes = f.src[q.at++];
    return (q.modes & 3) || (!(f.flags & GZ_ZSTD_TABLES) && (q.modes & q.modes >> 1 & 0x54)) ? GZ_FORMAT : GZ_OK;
}

// Reads the header of a frame, up to its first block.
GZ_DEVICE gz_i32 gz_zstd_header(gz_zstd_frame& f) {
    if (f.size() < 5) return GZ_TRUNCATED;
    if (gz_little(f.src, 4) != 0xfd2fb528u) return GZ_FORMAT;
    const gz_u32 flags = f.src[4], single = flags >> 5 & 1, key = (1u << (flags & 3)) >> 1;
    const gz_u32 wide = flags >> 6 ? 1u << (flags >> 6) : single;
    gz_u32 at = 6 - single;
    if (flags & 8) return GZ_FORMAT;
    if (f.size() < at + key + wide + 3) return GZ_TRUNCATED;
    gz_u64 window = 0, content = 0;
    if (!single) {
        const gz_u32 exponent = 10 + (f.src[5] >> 3);
        if (exponent > 31) return GZ_FORMAT;
        window = (1ull << exponent) + ((1ull << exponent) >> 3) * (f.src[5] & 7);
    }
    for (gz_u32 k = 0; k < key; ++k)
        if (f.src[at++]) return GZ_FORMAT;  // of a dictionary
    for (gz_u32 k = 0; k < wide; ++k) content |= (gz_u64)f.src[at++] << 8 * k;
    if (wide == 2) content += 256;
    if (wide && content != f.room) return content > f.room ? GZ_OVERFLOW : GZ_SIZE;
    if (single) window = content;
    f.block = window < GZ_ZSTD_BLOCK ? (gz_u32)window : GZ_ZSTD_BLOCK;
    f.at = at;
    f.flags = flags & GZ_ZSTD_CHECKED;
    return GZ_OK;
}

// Verifies what there is behind the last block; by one warp of those that call it.
GZ_DEVICE gz_i32 gz_zstd_finish(gz_zstd_frame& f) {
    if (f.op < f.room) return GZ_SIZE;
    gz_u32 expected = 0;
    if (f.flags & GZ_ZSTD_CHECKED) {
        if (f.size() - f.at < 4) return GZ_TRUNCATED;
        expected = gz_little(f.src + f.at, 4);
        f.at += 4;
    }
    if (f.at != f.size()) return GZ_FORMAT;
    if (threadIdx.x >= 32 || !(f.flags & GZ_ZSTD_CHECKED)) return GZ_OK;
    return (gz_u32)gz_xxh64(f.dst, f.room) == expected ? GZ_OK : GZ_CHECKSUM;
}

// ---- two warps ---------------------------------------------------------------------------------------------------------

// A status of one warp becomes that of both. `status` is the same in all lanes of a warp. What the second warp finds lies
// before what the first does at the same time.
GZ_DEVICE gz_i32 gz_zstd_agree(gz_zstd_shared& s, gz_i32 status) {
    if (gz_lane() == 0) s.wrong[threadIdx.x / 32] = status;
    if (!__syncthreads_or(status)) return GZ_OK;
    return s.wrong[1] ? s.wrong[1] : s.wrong[0];
}
