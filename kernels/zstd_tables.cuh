// Zstandard's entropy coding: bit streams that are read backwards, FSE tables (RFC 8878 section 4.1), Huffman trees (4.2).
//
// A table is built by one warp in shared memory. Descriptions are serial and short, and one lane reads them; cells and states
// are found by all lanes. Whatever the bytes, a table that is built has all its cells, so a state never leaves it.
#pragma once
#include "common.cuh"

// ---- bit streams -------------------------------------------------------------------------------------------------------

// One lane's view of a bit stream within an input. `high` and `low` have the next bits at their top. A
// word is read ahead, so that its way from memory is not waited for. Of 32-bit numbers only: it has no gaps, and lies anywhere.
struct gz_bits {
    gz_u32 high, low;  // the window
    gz_i32 have;       // bits in it
    gz_u32 ahead;
    gz_i32 at;     // where in the input `ahead` is from: a multiple of 4, as an address, unless all of the stream comes later
    gz_i32 begin;  // of the stream in the input

    // The word at `at`, if any of it belongs to the stream. Before a stream are 3 bytes or more of the same input (of its
    // frame's and its block's headers), so such a word is within the input. Bits from there may be looked at, but a stream of
    // which they are taken is refused.
    GZ_DEVICE gz_u32 load(const gz_u8* input) const { return begin - at < 4 ? *(const gz_u32*)(input + at) : 0; }

    // `size` bytes at `first`. False where there are none, or the last does not say where the stream ends.
    GZ_DEVICE bool open(const gz_u8* input, gz_u32 first, gz_u32 size) {
        begin = (gz_i32)first;
        at = (gz_i32)(first + size) - 1;
        if (size == 0 || input[at] == 0) return false;
        const gz_u32 last = input[at];
        have = 31 - __clz(last);
        low = 0;
        high = last << (31 - have) << 1;
        while (at > begin && ((gz_u64)(input + at) & 3)) {  // up to a word's end
            high |= (gz_u32)input[--at] << (24 - have);
            have += 8;
        }
        at -= 4;
        ahead = load(input);
        return true;
    }

    // There are 33 bits or more in the window then.
    GZ_DEVICE void fill(const gz_u8* input) {
        if (have > 32) return;
        const gz_u64 word = (gz_u64)ahead << 32 >> have;
        high |= (gz_u32)(word >> 32);
        low |= (gz_u32)word;
        have += 32;
        at -= 4;
        ahead = load(input);
    }

    // n bits, up to 31 and as many as there are in the window.
    GZ_DEVICE gz_u32 take(gz_u32 n) {
        const gz_u32 bits = high >> 1 >> (31 - n);
        skip(n);
        return bits;
    }

    GZ_DEVICE void skip(gz_u32 n) {
        high = __funnelshift_l(low, high, n);
        low <<= n;
        have -= n;
    }

    // Bits of the stream that were not yet taken; below 0 where more were taken than it has.
    GZ_DEVICE gz_i32 rest() const { return 8 * (at - begin) + 32 + have; }
};

// ---- finite state entropy ----------------------------------------------------------------------------------------------

#define GZ_FSE_SYMBOLS 64  // with a probability, at most: of 53 lengths of matches, or of weights in 64 cells

// What a description says: the symbols that have a probability, and it. -1: less than 1.
struct gz_fse_list {
    short count[GZ_FSE_SYMBOLS];  // later the index of the first cell
    gz_u8 symbol[GZ_FSE_SYMBOLS];
};

// A cell: the state that follows (9 bits, and as many more from the stream as:) bits (4 bits), and what the symbol means.
#define GZ_FSE_NEXT(cell) ((cell) & 511)
#define GZ_FSE_BITS(cell) ((cell) >> 9 & 15)
#define GZ_FSE_MEANS(cell) ((cell) >> 13)

// Reads a description of `size` bytes at most, of `symbols` symbols and a table of 2^most cells at most; for one lane.
// Its bytes, or 0 where it is wrong. The list has `n` symbols then, its table 2^log cells.
GZ_DEVICE gz_u32 gz_fse_describe(const gz_u8* p, gz_u32 size, gz_u32 most, gz_u32 symbols, gz_fse_list& list, gz_u32& n,
                                 gz_u32& log) {
    const auto peek = [=](gz_u32 bit) {  // 17 bits or more; zeros behind the end
        gz_u32 value = 0;
#pragma unroll
        for (gz_u32 k = 0; k < 3; ++k)
            if (bit / 8 + k < size) value |= (gz_u32)p[bit / 8 + k] << 8 * k;
        return value >> (bit & 7);
    };
    n = 0;
    log = (peek(0) & 15) + 5;
    if (log > most) return 0;
    gz_u32 bit = 4, symbol = 0, threshold = 1u << log, width = log + 1;
    gz_u32 remaining = threshold + 1;  // what the probabilities add up to, and 1
    while (remaining > 1) {
        if (symbol >= symbols) return 0;
        while (remaining < threshold) {
            threshold >>= 1;
            --width;
        }
        const gz_u32 value = peek(bit), few = 2 * threshold - 1 - remaining;  // values that take one bit less
        gz_u32 count = value & (threshold - 1);
        if (count < few) {
            bit += width - 1;
        } else {
            count = value & (2 * threshold - 1);
            if (count >= threshold) count -= few;
            bit += width;
        }
        if (count == 1) {  // of no probability; how many more there are follows
            gz_u32 more;
            ++symbol;
            do {  // up to the end at most: behind it are zeros
                more = peek(bit) & 3;
                bit += 2;
                symbol += more;
            } while (more == 3);
        } else {
            list.symbol[n] = (gz_u8)symbol++;
            list.count[n++] = (short)(count - 1);
            remaining -= count ? count - 1 : 1;
        }
    }
    const gz_u32 bytes = (bit + 7) / 8;
    return bytes <= size ? bytes : 0;
}

// The table of a list of n symbols; by a whole warp, all lanes of which see the list. `cells`: room for a byte a cell, a
// multiple of 4. `means(symbol)` is what its cells say.
template <class Means>
GZ_DEVICE void gz_fse_build(gz_u32* table, gz_u32 log, gz_fse_list& list, gz_u32 n, gz_u8* cells, Means means) {
    const gz_u32 lane = gz_lane(), below = (1u << lane) - 1, size = 1u << log;
    // Each lane has two symbols.
    const gz_i32 a = lane < n ? list.count[lane] : 0, b = lane + 32 < n ? list.count[lane + 32] : 0;
    const gz_u32 rare_a = gz_ballot(a < 0), rare_b = gz_ballot(b < 0);
    if (a < 0) cells[size - 1 - __popc(rare_a & below)] = (gz_u8)lane;
    if (b < 0) cells[size - 1 - __popc(rare_a) - __popc(rare_b & below)] = (gz_u8)(lane + 32);
    const gz_u32 high = size - __popc(rare_a) - __popc(rare_b);  // the cells below are shared out among the other symbols
    gz_u32 sum_a = a > 0 ? a : 0, sum_b = b > 0 ? b : 0;
#pragma unroll
    for (gz_u32 step = 1; step < 32; step *= 2) {
        const gz_u32 more_a = gz_shfl_up(sum_a, step), more_b = gz_shfl_up(sum_b, step);
        if (lane >= step) {
            sum_a += more_a;
            sum_b += more_b;
        }
    }
    sum_b += gz_shfl(sum_a, 31);
    gz_syncwarp();  // all have read their counts
    list.count[lane] = (short)(sum_a - (a > 0 ? a : 0));
    list.count[lane + 32] = (short)(sum_b - (b > 0 ? b : 0));
    gz_syncwarp();
    const gz_u32 stride = (size >> 1) + (size >> 3) + 3;
    gz_u32 taken = 0;
    for (gz_u32 i = lane; i < size; i += 32) {  // a table has 32 cells or more
        const gz_u32 cell = i * stride & (size - 1);
        const bool is_free = cell < high;
        const gz_u32 free_ones = gz_ballot(is_free);
        if (is_free) {
            const gz_i32 rank = (gz_i32)(taken + __popc(free_ones & below));
            gz_u32 entry = 0;  // the last one that begins at `rank` or before: those of no cells begin where the next one does
#pragma unroll
            for (gz_u32 half = GZ_FSE_SYMBOLS / 2; half; half /= 2)
                if (list.count[entry + half] <= rank) entry += half;
            cells[cell] = (gz_u8)entry;
        }
        taken += __popc(free_ones);
    }
    gz_syncwarp();
    // The cells of a symbol are numbered in their order: each lane goes through all, and takes those of its symbols.
    gz_u32 state_a = a < 0 ? 1 : a, state_b = b < 0 ? 1 : b;
    const gz_u32 means_a = (lane < n ? means(list.symbol[lane]) : 0) << 13;
    const gz_u32 means_b = (lane + 32 < n ? means(list.symbol[lane + 32]) : 0) << 13;
    for (gz_u32 i = 0; i < size; i += 4) {
        const gz_u32 four = *(const gz_u32*)(cells + i);
#pragma unroll
        for (gz_u32 k = 0; k < 4; ++k) {
            const gz_u32 entry = four >> 8 * k & 255;
            if ((entry & 31) != lane) continue;
            const gz_u32 state = entry < 32 ? state_a++ : state_b++;
            const gz_u32 bits = log - (31 - __clz(state));
            table[i + k] = ((state << bits) - size) | bits << 9 | (entry < 32 ? means_a : means_b);
        }
    }
    gz_syncwarp();
}

// ---- Huffman trees -----------------------------------------------------------------------------------------------------

#define GZ_HUFFMAN_BITS 11   // of the table's index
#define GZ_HUFFMAN_LONGEST 12  // what libzstd takes; the format's description says 11

struct gz_huffman {
    // Symbol << 8 | bits. Of a code of 12 bits only the bits are right: it is one of two, and `sorted` has the symbol.
    gz_u16 table[1 << GZ_HUFFMAN_BITS];
    gz_u8 sorted[256];  // symbols by weight, by number in each weight; not those of weight 0
};

// What is needed only until the table is made, and lies in its place.
struct gz_huffman_making {
    gz_u8 weight[260];  // zeros behind them, since they are read as words
    gz_u8 cells[64];
    gz_fse_list list;
    gz_u32 table[64];
};
static_assert(sizeof(gz_huffman_making) <= sizeof(gz_u16) << GZ_HUFFMAN_BITS, "it lies there");

// Weights compressed by FSE, by two states in turn, up to the end of the stream; for one lane. Their number, or 0.
GZ_DEVICE gz_u32 gz_huffman_weights(gz_u8* weight, const gz_u32* table, gz_u32 log, const gz_u8* input, gz_u32 first,
                                    gz_u32 size) {
    gz_bits bits;
    if (!bits.open(input, first, size)) return 0;
    bits.fill(input);
    gz_u32 state = bits.take(log), other = bits.take(log);
    if (bits.rest() < 0) return 0;
    for (gz_u32 n = 0; n < 254; ++n) {
        bits.fill(input);
        const gz_u32 cell = table[state];
        weight[n] = (gz_u8)GZ_FSE_MEANS(cell);
        state = GZ_FSE_NEXT(cell) + bits.take(GZ_FSE_BITS(cell));
        if (bits.rest() < 0) {  // the other state has a symbol, too
            weight[n + 1] = (gz_u8)GZ_FSE_MEANS(table[other]);
            return n + 2;
        }
        const gz_u32 swap = state;
        state = other;
        other = swap;
    }
    return 0;
}

// Reads the description of a tree, `size` bytes at most from `at`, and makes its table; by a whole warp.
// The description's bytes, or 0 where it is wrong: then there is no table.
GZ_DEVICE gz_u32 gz_huffman_read(gz_huffman& tree, const gz_u8* input, gz_u32 at, gz_u32 size) {
    gz_huffman_making& making = *(gz_huffman_making*)tree.table;
    const gz_u32 lane = gz_lane();
    if (size == 0) return 0;
    const gz_u32 head = input[at++], bytes = head < 128 ? head : (head - 126) / 2;
    if (bytes >= size) return 0;
    gz_u32 n = head - 127;
    if (head >= 128) {
        for (gz_u32 i = lane; i < n; i += 32) making.weight[i] = (gz_u8)(i & 1 ? input[at + i / 2] & 15 : input[at + i / 2] >> 4);
    } else {
        gz_u32 used = 0, symbols = 0, log = 0;
        if (lane == 0) used = gz_fse_describe(input + at, bytes, 6, 256, making.list, symbols, log);
        used = gz_shfl(used, 0);
        if (used == 0) return 0;
        symbols = gz_shfl(symbols, 0);
        log = gz_shfl(log, 0);
        gz_syncwarp();
        // Others, which no tree needs, are more than libzstd has room for.
        if (making.list.symbol[symbols - 1] > (log == 6 ? 11 : 91)) return 0;
        gz_fse_build(making.table, log, making.list, symbols, making.cells, [](gz_u32 symbol) { return symbol; });
        if (lane == 0) n = gz_huffman_weights(making.weight, making.table, log, input, at + used, bytes - used);
        n = gz_shfl(n, 0);
        if (n == 0) return 0;
    }
    gz_syncwarp();
    if (lane < 4) making.weight[n + lane] = 0;
    gz_syncwarp();
    // Lane w counts the symbols of weight w, four at a time; the last lane those of weights that there are not.
    const gz_u32* const weights = (const gz_u32*)making.weight;
    gz_u32 count = 0;
#pragma unroll 1
    for (gz_u32 i = 0; i < n; i += 4) {
        const gz_u32 four = weights[i / 4];
#pragma unroll
        for (gz_u32 k = 0; k < 32; k += 8) {
            const gz_u32 weight = four >> k & 255;
            count += weight == lane || (lane == 31 && weight > GZ_HUFFMAN_LONGEST);
        }
    }
    if (gz_any(lane > GZ_HUFFMAN_LONGEST && count)) return 0;
    gz_u32 total = lane ? count << lane >> 1 : 0;
#pragma unroll
    for (gz_u32 step = 16; step; step /= 2) total += gz_shfl_xor(total, step);
    const gz_u32 longest = 32 - __clz(total);  // bits of the longest code
    const gz_u32 rest = (1u << longest) - total;
    if (total == 0 || longest > GZ_HUFFMAN_LONGEST || (rest & (rest - 1))) return 0;
    const gz_u32 last = 32 - __clz(rest);  // the weight of the last symbol, which is not told
    count += last == lane;
    if (gz_any(lane == 1 && count < 2)) return 0;
    // Codes are in the order of weights, and of symbols in each. Places are those of a table of 12 bits.
    const gz_u32 span = lane && lane <= longest ? count << (lane - 1 + GZ_HUFFMAN_LONGEST - longest) : 0;
    gz_u32 place = span, entry = lane ? count : 0;
#pragma unroll
    for (gz_u32 step = 1; step < 32; step *= 2) {
        const gz_u32 more_place = gz_shfl_up(place, step), more_entry = gz_shfl_up(entry, step);
        if (lane >= step) {
            place += more_place;
            entry += more_entry;
        }
    }
    place -= span;
    entry -= lane ? count : 0;
    gz_syncwarp();  // all have read the zero there
    if (lane == 0) making.weight[n] = (gz_u8)last;
    gz_syncwarp();
    if (lane && lane <= longest) {
        gz_u32 next = entry;
#pragma unroll 1
        for (gz_u32 i = 0; i <= n; i += 4) {
            const gz_u32 four = weights[i / 4];
#pragma unroll
            for (gz_u32 k = 0; k < 4; ++k)
                if ((four >> 8 * k & 255) == lane) tree.sorted[next++] = (gz_u8)(i + k);
        }
    }
    gz_syncwarp();
    for (gz_u32 weight = 1; weight <= longest; ++weight) {
        const gz_u32 begin = gz_shfl(place, weight), end = begin + gz_shfl(span, weight), first = gz_shfl(entry, weight);
        const gz_u32 shift = weight - 1 + GZ_HUFFMAN_LONGEST - longest;
        for (gz_u32 i = begin / 2 + lane; i < end / 2; i += 32)
            tree.table[i] = (gz_u16)(tree.sorted[first + ((2 * i - begin) >> shift)] << 8 | (longest + 1 - weight));
    }
    gz_syncwarp();
    return bytes + 1;
}

// One lane decodes a stream of exactly n symbols. False where it has more or fewer.
GZ_DEVICE bool gz_huffman_decode(const gz_huffman& tree, const gz_u8* input, gz_u32 first, gz_u32 size, gz_u8* to, gz_u32 n) {
    gz_bits bits;
    if (!bits.open(input, first, size)) return false;
    const auto symbol = [&]() {
        const gz_u32 index = bits.high >> (32 - GZ_HUFFMAN_LONGEST);
        const gz_u32 found = tree.table[index / 2], width = found & 15;
        bits.skip(width);
        return width == GZ_HUFFMAN_LONGEST ? tree.sorted[index] : found >> 8;
    };
    for (; n && ((gz_u64)to & 3); --n) {
        bits.fill(input);
        *to++ = (gz_u8)symbol();
    }
    for (; n >= 4; n -= 4, to += 4) {
        bits.fill(input);
        gz_u32 four = symbol();
        four |= symbol() << 8;
        bits.fill(input);
        four |= symbol() << 16;
        *(gz_u32*)to = four | symbol() << 24;
    }
    for (; n; --n) {
        bits.fill(input);
        *to++ = (gz_u8)symbol();
    }
    return bits.rest() == 0;
}
