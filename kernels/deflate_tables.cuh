// DEFLATE's bit streams (RFC 1951 section 3.1.1) and its Huffman codes (3.2).
//
// A code is made by one warp in shared memory from the lengths of its symbols' codes, and read by one lane. Whatever the
// lengths, a code that is made names only symbols that it was made of.
#pragma once
#include "common.cuh"

// ---- bit streams -------------------------------------------------------------------------------------------------------

// One lane's view of a bit stream within an input. A word is read ahead, so that its way from memory is not waited for. Of
// 32-bit numbers only: it has no gaps, and lies anywhere.
struct gz_deflate_bits {
    gz_u32 low, high;  // the window: the next bit is the lowest
    gz_u32 have;       // bits in it
    gz_u32 ahead;
    gz_u32 at;  // where in the input the word behind `ahead` begins: a multiple of 4, as an address

    // The word at `at`. Behind the input's end are zeros: they may be looked at, but a stream that takes them is refused.
    GZ_DEVICE gz_u32 load(const gz_u8* input, gz_u32 size) const {
        if (at < size && size - at >= 4) return *(const gz_u32*)(input + at);
        gz_u32 word = 0;
#pragma unroll 1
        for (gz_u32 k = 0; at + k < size; ++k) word |= (gz_u32)input[at + k] << 8 * k;
        return word;
    }

    // Begins at byte `first`, which is in the input or at its end.
    GZ_DEVICE void open(const gz_u8* input, gz_u32 size, gz_u32 first) {
        low = high = have = 0;
        at = first;
        for (; (gz_u64)(input + at) & 3; ++at, have += 8)  // up to a word's beginning
            if (at < size) low |= (gz_u32)input[at] << have;
        ahead = load(input, size);
        at += 4;
    }

    // There are 33 bits or more in the window then.
    GZ_DEVICE void fill(const gz_u8* input, gz_u32 size) {
        if (have > 32) return;
        const gz_u64 word = (gz_u64)ahead << have;
        low |= (gz_u32)word;
        high |= (gz_u32)(word >> 32);
        have += 32;
        ahead = load(input, size);
        at += 4;
    }

    // n bits, up to 31 and as many as there are in the window.
    GZ_DEVICE gz_u32 take(gz_u32 n) {
        const gz_u32 bits = low & ((1u << n) - 1);
        skip(n);
        return bits;
    }

    GZ_DEVICE void skip(gz_u32 n) {
        low = __funnelshift_r(low, high, n);
        high >>= n;
        have -= n;
    }

    // The first byte of which no bit was taken; beyond the input's end where more was taken than it has.
    GZ_DEVICE gz_u32 where() const { return at - 4 - have / 8; }
};

// ---- Huffman codes -----------------------------------------------------------------------------------------------------

#define GZ_DEFLATE_LONGEST 15   // bits
#define GZ_DEFLATE_NONE 0xfffu  // no symbol

// Codes of BITS bits or fewer are found in a table, which is read with the stream's next bits as they are. Longer ones are few,
// and are found by their value, the first bit the highest: in each length they follow those of the length before.
template <int BITS, int SYMBOLS>
struct gz_deflate_code {
    gz_u16 table[1 << BITS];               // symbol << 4 | bits; 0: of a longer code, or of none
    gz_u16 sorted[SYMBOLS];                // by length, and then by number
    gz_u16 end[GZ_DEFLATE_LONGEST + 1];    // of the codes of a length, as if they had 15 bits
    gz_u16 first[GZ_DEFLATE_LONGEST + 1];  // in `sorted`, less the value of a length's first code: modulo 2^16

    // Makes it of the lengths of n symbols' codes, 0 to 15; by a whole warp, all lanes of which see them. False, and no code,
    // where lengths are too small for so many symbols, or too large. With `partly` they may be of no symbol, or of one with
    // one bit.
    GZ_DEVICE bool make(const gz_u8* length, gz_u32 n, bool partly) {
        const gz_u32 lane = gz_lane();
        gz_u32 count = 0;  // of the codes of as many bits as the lane's number; in `sorted` lane 0's come first, and stay unknown
        for (gz_u32 i = 0; i < n; ++i) count += length[i] == lane;
        const gz_u32 span = lane && lane <= GZ_DEFLATE_LONGEST ? count << (GZ_DEFLATE_LONGEST - lane) : 0;
        gz_u32 place = span, entry = count;
#pragma unroll
        for (gz_u32 step = 1; step < 32; step *= 2) {
            const gz_u32 more_place = gz_shfl_up(place, step), more_entry = gz_shfl_up(entry, step);
            if (lane >= step) {
                place += more_place;
                entry += more_entry;
            }
        }
        const gz_u32 all = gz_shfl(place, 31), ones = gz_shfl(count, 1);
        const bool part = all == 0 || (all == 1u << (GZ_DEFLATE_LONGEST - 1) && ones == 1);
        if (all != 1u << GZ_DEFLATE_LONGEST && !(partly && part)) return false;
        const gz_u32 begin = place - span, from = entry - count;
        if (lane && lane <= GZ_DEFLATE_LONGEST) {
            end[lane] = (gz_u16)place;
            first[lane] = (gz_u16)(from - (begin >> (GZ_DEFLATE_LONGEST - lane)));
            gz_u32 next = from;
            for (gz_u32 i = 0; i < n; ++i)
                if (length[i] == lane) sorted[next++] = (gz_u16)i;
        }
        gz_syncwarp();
        const gz_u32 low = begin >> (GZ_DEFLATE_LONGEST - BITS), high = place >> (GZ_DEFLATE_LONGEST - BITS);
        for (gz_u32 bits = 1; bits <= BITS; ++bits) {
            const gz_u32 start = gz_shfl(low, bits), stop = gz_shfl(high, bits), which = gz_shfl(from, bits);
            for (gz_u32 i = start + lane; i < stop; i += 32)
                table[__brev(i) >> (32 - BITS)] = (gz_u16)(sorted[which + ((i - start) >> (BITS - bits))] << 4 | bits);
        }
        for (gz_u32 i = gz_shfl(high, BITS) + lane; i < 1u << BITS; i += 32) table[__brev(i) >> (32 - BITS)] = 0;
        gz_syncwarp();
        return true;
    }

    // The next symbol of a stream that has 15 bits in its window; GZ_DEFLATE_NONE, and no bits, where there is none.
    GZ_DEVICE gz_u32 read(gz_deflate_bits& bits) const {
        const gz_u32 found = table[bits.low & ((1u << BITS) - 1)];
        if (found) {
            bits.skip(found & 15);
            return found >> 4;
        }
        const gz_u32 value = __brev(bits.low) >> (32 - GZ_DEFLATE_LONGEST);
#pragma unroll 1
        for (gz_u32 n = BITS + 1; n <= GZ_DEFLATE_LONGEST; ++n)
            if (value < end[n]) {
                bits.skip(n);
                return sorted[(gz_u16)(first[n] + (value >> (GZ_DEFLATE_LONGEST - n)))];
            }
        return GZ_DEFLATE_NONE;
    }
};
