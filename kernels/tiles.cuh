// What scatter and gather share: tiles of elements copied between chunks and a result, a block its share of one tile.
//
// A share is cut into rows, a row being the last axis of the tile. Threads look the rows up first, one row a thread:
// the divisions that a rank needs are paid once a row, not once an element. Then all threads go through the cells of
// those rows together, neighbours taking neighbours, several loads under way before the first store. A cell is
// - where the last axis is contiguous on both sides: 16, 8, 4, 2 or 1 bytes, as much as divides the addresses of these
//   rows and their size; elements of any size go this way, and bytes turn within a cell that holds the swapped unit;
// - else one element: one load and one store where its size is a power of two to 16 and its addresses are multiples of
//   it, by bytes where not.
// The fill value is an element that all places read; it comes repeated, so that 16 bytes can be loaded from it.
//
// Launch rules. Blocks of 128 threads. A block does `elements` consecutive elements of one tile, in C order (the last
// of a tile what is left): a positive multiple of 16, so that a share begins on a multiple of 16 bytes of its tile, and
// elements * itemsize at most 2^30. first[n + 1] counts the blocks of the tiles before; a tile of 0 elements has none;
// grid.x = first[n], not 0. Places that are written are distinct, and none is read. Tables are believed; addresses and
// steps may have any alignment, and steps any sign.
#pragma once
#include "access.cuh"

#define GZ_TILE_THREADS 128  // threads of a block, and rows looked up at once
#define GZ_TILE_BATCH 4      // loads of a thread that are under way together
#if defined(GZ_HIP)          // there the second number means something else
#define GZ_TILE_BLOCKS 1
#else
#define GZ_TILE_BLOCKS 8     // blocks on a multiprocessor: 64 registers; left alone compilers choose fewer, and spill
#endif

// Where a row begins, or where an element lies: addresses read and written.
struct alignas(16) gz_way {
    gz_u64 from, to;
};

// The last axis: where its elements lie from the begin of a row, in bytes: a list, or without one a pitch.
// With a list the pitch is 0.
struct gz_axis {
    const gz_i64 *from_list, *to_list;
    gz_i64 from_pitch, to_pitch;
};

// Cells of some rows, counted on through the rows: `count` of them, after `skip` of the first row's.
struct gz_span {
    gz_u32 length, skip, count;
};

// What the threads of a block have in common: in shared memory, where it costs them no registers.
template <class Tile>
struct gz_share {
    gz_way rows[GZ_TILE_THREADS];
    gz_u32 low[GZ_TILE_THREADS / 32];
    Tile tile;
    bool filled;             // the fill value is what is read: it is in the byte order of the result
    gz_u32 itemsize, swap;
    gz_axis axis;
    gz_i64 from, to;         // added to the begin of each row
    gz_i64 length;           // elements of a row
    gz_i64 row, skip;        // the first of the rows at hand, and its elements that belong to the share before
    gz_u32 left;             // elements to do, with those at hand
    gz_u32 height;           // the rows at hand, and what of them
    gz_span span;
    gz_i64 lead;             // elements of a long row before those at hand
    gz_axis here;            // the axis from there on
};

GZ_DEVICE bool gz_is_power(gz_u32 n) { return (n & (n - 1)) == 0; }

// The tile whose share of the blocks holds `block`. A warp looks at 32 entries at once: three steps for 32768 tiles.
GZ_DEVICE gz_i64 gz_tile_of(const gz_i64* first, gz_u32 n, gz_i64 block) {
    gz_u32 low = 0, high = n;
    while (high - low > 1) {
        const gz_u32 stride = (high - low + 31) / 32;
        const gz_u32 pivot = low + (gz_lane() + 1) * stride;
        low += __popc(gz_ballot(pivot < high && gz_get(first + pivot) <= block)) * stride;
        if (high - low > stride) high = low + stride;
    }
    return low;
}

// 32 bits nearly always. The long division of other cases is slow, and short: a built-in one takes many registers.
GZ_DEVICE gz_i64 gz_quotient(gz_i64 index, gz_i64 n) {
    if (((index | n) >> 32) == 0) return (gz_u32)index / (gz_u32)n;
    gz_i64 quotient = 0, rest = 0;
#pragma unroll 1
    for (gz_i32 bit = 62; bit >= 0; bit--) {
        rest = rest * 2 + (index >> bit & 1);
        quotient *= 2;
        if (rest < n) continue;
        rest -= n;
        quotient++;
    }
    return quotient;
}

// Division of small numbers by one that does not change: the estimate is right or one too low.
struct gz_divisor {
    gz_u32 n, inverse;
    GZ_DEVICE explicit gz_divisor(gz_u32 n) : n(n), inverse(0xffffffffu / n) {}
    GZ_DEVICE gz_u32 quotient(gz_u32 index) const {
        const gz_u32 q = __umulhi(index, inverse);
        return q + (index - q * n >= n);
    }
};

// ---- cells ----------------------------------------------------------------------------------------------------------

// Bytes turned within units of `swap` bytes: a power of two no larger than the cell, or 0.
GZ_DEVICE gz_u32 gz_turned(gz_u32 v, gz_u32 swap) {
    return __byte_perm(v, 0, swap <= 1 ? 0x3210 : swap == 2 ? 0x2301 : 0x0123);
}
GZ_DEVICE gz_u8 gz_turned(gz_u8 v, gz_u32) { return v; }
GZ_DEVICE gz_u16 gz_turned(gz_u16 v, gz_u32 swap) { return (gz_u16)gz_turned((gz_u32)v, swap); }
GZ_DEVICE uint2 gz_turned(uint2 v, gz_u32 swap) {
    const gz_u32 x = gz_turned(v.x, swap), y = gz_turned(v.y, swap);
    return swap >= 8 ? make_uint2(y, x) : make_uint2(x, y);
}
GZ_DEVICE uint4 gz_turned(uint4 v, gz_u32 swap) {
    const uint2 a = gz_turned(make_uint2(v.x, v.y), swap), b = gz_turned(make_uint2(v.z, v.w), swap);
    return swap == 16 ? make_uint4(b.x, b.y, a.x, a.y) : make_uint4(a.x, a.y, b.x, b.y);
}

// Those cells that `mask` names.
template <class V>
GZ_DEVICE void gz_copy_cells(const gz_way (&way)[GZ_TILE_BATCH], gz_u32 mask, gz_u32 swap) {
    V value[GZ_TILE_BATCH] = {};  // a value that is not always written would keep its registers all around the loop
#pragma unroll
    for (gz_u32 k = 0; k < GZ_TILE_BATCH; k++)
        if (mask >> k & 1) value[k] = gz_get((const V*)way[k].from);
#pragma unroll
    for (gz_u32 k = 0; k < GZ_TILE_BATCH; k++)
        if (mask >> k & 1) gz_put((V*)way[k].to, gz_turned(value[k], swap));
}

GZ_DEVICE void gz_copy_cells(const gz_way (&way)[GZ_TILE_BATCH], gz_u32 mask, gz_u32 size, gz_u32 swap) {
    if (size == 16) gz_copy_cells<uint4>(way, mask, swap);
    else if (size == 8) gz_copy_cells<uint2>(way, mask, swap);
    else if (size == 4) gz_copy_cells<gz_u32>(way, mask, swap);
    else if (size == 2) gz_copy_cells<gz_u16>(way, mask, swap);
    else gz_copy_cells<gz_u8>(way, mask, swap);
}

// ---- rows -----------------------------------------------------------------------------------------------------------

// Rows that are contiguous on both sides, in cells of `size` bytes: a power of two to 16 that divides all addresses.
GZ_DEVICE void gz_copy_contiguous(const gz_way* rows, gz_span span, bool filled, gz_u32 size, gz_u32 swap) {
    const gz_divisor length(span.length);
#pragma unroll 1
    for (gz_u32 begin = threadIdx.x; begin < span.count; begin += GZ_TILE_THREADS * GZ_TILE_BATCH) {
        gz_way way[GZ_TILE_BATCH];
        gz_u32 mask = 0;
#pragma unroll
        for (gz_u32 k = 0; k < GZ_TILE_BATCH; k++) {
            const gz_u32 at = begin + k * GZ_TILE_THREADS, index = span.skip + (at < span.count ? at : begin);
            const gz_u32 row = length.quotient(index), offset = (index - row * length.n) * size;
            way[k] = rows[row];
            way[k].from += filled ? 0 : offset;
            way[k].to += offset;
            if (at < span.count) mask |= 1 << k;
        }
        gz_copy_cells(way, mask, size, swap);
    }
}

// Volatile: it is cheaper to read the axis anew for each element than to keep it in eight registers.
GZ_DEVICE gz_way gz_element(const gz_way* rows, const volatile gz_axis& axis, const gz_divisor& length, gz_u32 index) {
    const gz_u32 row = length.quotient(index), i = index - row * length.n;
    const gz_i64 *from_list = axis.from_list, *to_list = axis.to_list;
    gz_way way = rows[row];
    way.from += from_list ? gz_get(from_list + i) : i * axis.from_pitch;
    way.to += to_list ? gz_get(to_list + i) : i * axis.to_pitch;
    return way;
}

// Elements of 1, 2, 4, 8 or 16 bytes, one by one. Those whose addresses are no multiples of it are left: true if any.
GZ_DEVICE bool gz_copy_elements(const gz_way* rows, const volatile gz_axis& axis, gz_span span, gz_u32 size,
                                gz_u32 swap) {
    const gz_divisor length(span.length);
    bool left = false;
#pragma unroll 1
    for (gz_u32 begin = threadIdx.x; begin < span.count; begin += GZ_TILE_THREADS * GZ_TILE_BATCH) {
        gz_way way[GZ_TILE_BATCH];
        gz_u32 mask = 0;
#pragma unroll
        for (gz_u32 k = 0; k < GZ_TILE_BATCH; k++) {
            const gz_u32 at = begin + k * GZ_TILE_THREADS;
            way[k] = gz_element(rows, axis, length, span.skip + (at < span.count ? at : begin));
            const bool odd = (way[k].from | way[k].to) & (size - 1);
            left |= odd;
            if (!odd && at < span.count) mask |= 1 << k;
        }
        gz_copy_cells(way, mask, size, swap);
    }
    return left;
}

// Elements one by one, by bytes: those with an address that has one of the bits of `odd`, or all of them.
GZ_DEVICE void gz_copy_bytes(const gz_way* rows, const volatile gz_axis& axis, gz_span span, gz_u32 size, gz_u32 swap,
                             gz_u32 odd, bool all) {
    const gz_divisor length(span.length);
    const gz_u32 unit = swap ? swap : 1;
#pragma unroll 1
    for (gz_u32 index = threadIdx.x; index < span.count; index += GZ_TILE_THREADS) {
        const gz_way way = gz_element(rows, axis, length, span.skip + index);
        if (!all && ((way.from | way.to) & odd) == 0) continue;
#pragma unroll 1
        for (gz_u32 begin = 0; begin < size; begin += unit)
#pragma unroll 1
            for (gz_u32 i = 0; i < unit; i++)
                gz_put((gz_u8*)(way.to + begin + i), gz_get((const gz_u8*)(way.from + begin + unit - 1 - i)));
    }
}

// The rows at hand, whose addresses have the low bits `bits`.
template <class Tile>
GZ_DEVICE void gz_copy_rows(const gz_share<Tile>& share, gz_u32 bits) {
    const gz_u32 itemsize = share.itemsize, swap = share.swap;
    gz_span span = share.span;
    const gz_axis& axis = share.here;
    const bool contiguous = axis.to_pitch == itemsize && (share.filled || axis.from_pitch == itemsize);
    const gz_u32 least = share.filled ? itemsize : swap;  // bytes that a cell must not cut
    bits |= span.length * itemsize | 16;
    const gz_u32 size = bits & (0 - bits);
    if (contiguous && gz_is_power(least) && size >= least) {
        const gz_u32 shift = __ffs(size) - 1;
        span = {span.length * itemsize >> shift, span.skip * itemsize >> shift, span.count * itemsize >> shift};
        gz_copy_contiguous(share.rows, span, share.filled, size, swap);
        return;
    }
    const bool odd = itemsize > 16 || !gz_is_power(itemsize);
    if (odd || gz_copy_elements(share.rows, axis, span, itemsize, swap))
        gz_copy_bytes(share.rows, axis, span, itemsize, swap, itemsize - 1, odd);
}

// ---- tiles ----------------------------------------------------------------------------------------------------------

// A strided box. `from_step` null: every element comes from one place.
struct gz_box {
    gz_way begin;
    const gz_i64 *count, *from_step, *to_step;
    gz_i32 d;

    GZ_DEVICE gz_axis axis() const {
        return {nullptr, nullptr, from_step ? gz_get(from_step + d - 1) : 0, gz_get(to_step + d - 1)};
    }
    GZ_DEVICE void advance(gz_way& way, gz_i32 k, gz_i64 i) const {
        if (from_step) way.from += i * gz_get(from_step + k);
        way.to += i * gz_get(to_step + k);
    }
};

// An outer product of lists; on axis k their entries from first[k] on. `from_lists` null: from one place.
struct gz_table {
    gz_way begin;
    const gz_i64 *count, *first;
    const gz_u64 *from_lists, *to_lists;
    gz_i32 d;

    GZ_DEVICE const gz_i64* list(const gz_u64* lists, gz_i32 k) const {
        return (const gz_i64*)gz_get(lists + k) + gz_get(first + k);
    }
    GZ_DEVICE gz_axis axis() const {
        return {from_lists ? list(from_lists, d - 1) : nullptr, list(to_lists, d - 1), 0, 0};
    }
    GZ_DEVICE void advance(gz_way& way, gz_i32 k, gz_i64 i) const {
        if (from_lists) way.from += gz_get(list(from_lists, k) + i);
        way.to += gz_get(list(to_lists, k) + i);
    }
};

// Single elements, as a table of one axis. `from_list` null: from one place.
struct gz_points {
    gz_way begin;
    const gz_i64 *count, *from_list, *to_list;
    static constexpr gz_i32 d = 1;

    GZ_DEVICE gz_axis axis() const { return {from_list, to_list, 0, 0}; }
};

template <class Tile>
GZ_DEVICE gz_way gz_row_begin(const Tile& tile, gz_i64 row) {
    gz_way way = tile.begin;
#pragma unroll 1
    for (gz_i32 k = tile.d - 2; k >= 0; k--) {
        const gz_i64 count = gz_get(tile.count + k), next = gz_quotient(row, count);
        tile.advance(way, k, row - next * count);
        row = next;
    }
    return way;
}

GZ_DEVICE gz_way gz_row_begin(const gz_points& points, gz_i64) { return points.begin; }

// ---- a block's share of a tile --------------------------------------------------------------------------------------

// One thread says which rows come next. A row longer than a share is done by itself: counts within rows are small so.
template <class Tile>
GZ_DEVICE void gz_plan_rows(gz_share<Tile>& share, gz_u32 elements) {
    const gz_i64 length = share.length, skip = share.skip;
    if (length > elements) {
        const gz_u32 count = length - skip < share.left ? (gz_u32)(length - skip) : share.left;
        share.height = 1;
        share.span = {count, 0, count};
        share.lead = skip;
    } else {
        const gz_u32 end = (gz_u32)skip + share.left, height = (end + (gz_u32)length - 1) / (gz_u32)length;
        share.height = height < GZ_TILE_THREADS ? height : GZ_TILE_THREADS;
        const gz_u32 room = share.height * (gz_u32)length;
        share.span = {(gz_u32)length, (gz_u32)skip, (end < room ? end : room) - (gz_u32)skip};
        share.lead = 0;
    }
    share.here = share.axis;
    if (share.here.from_list) share.here.from_list += share.lead;
    if (share.here.to_list) share.here.to_list += share.lead;
}

// One thread: the rows at hand are done.
template <class Tile>
GZ_DEVICE void gz_go_on(gz_share<Tile>& share, gz_u32 elements) {
    share.row += share.height;
    share.skip = 0;
    share.left -= share.span.count;
    gz_plan_rows(share, elements);
}

// One thread says what there is to do: `elements` of the tile from `begin` on, or what is left.
template <class Tile>
GZ_DEVICE void gz_begin_share(gz_share<Tile>& share, const Tile& tile, bool filled, gz_u32 itemsize, gz_u32 swap,
                              gz_i64 begin, gz_u32 elements) {
    gz_i64 total = 1;
    for (gz_i32 k = 0; k < tile.d; k++) total *= gz_get(tile.count + k);
    share.tile = tile;
    share.filled = filled;
    share.itemsize = itemsize;
    share.swap = filled ? 0 : swap;
    share.axis = tile.d ? tile.axis() : gz_axis{nullptr, nullptr, (gz_i64)itemsize, (gz_i64)itemsize};
    share.from = share.to = 0;
    share.length = tile.d ? gz_get(tile.count + tile.d - 1) : 1;
    share.row = gz_quotient(begin, share.length);
    share.skip = begin - share.row * share.length;
    share.left = total - begin < elements ? (gz_u32)(total - begin) : elements;
}

// Lists that run in steps of one element, as those of a slice do, become a pitch. Only entries that the share uses are
// looked at, which is less work than to copy by lists.
template <class Tile>
GZ_DEVICE void gz_straighten(gz_share<Tile>& share) {
    const gz_i64 itemsize = share.itemsize;
    const gz_i64 *from = share.axis.from_list, *to = share.axis.to_list;
    const gz_i64 skip = share.skip, length = share.length;
    const gz_u32 count = share.left < length ? share.left : (gz_u32)length;
    bool straight = to != nullptr;
    for (gz_u32 begin = 0; straight && begin < count; begin += GZ_TILE_THREADS) {
        bool mine = true;
        gz_i64 i = begin + threadIdx.x;
        if (i < count) {
            i += skip < length - i ? skip : skip - length;
            const gz_i64 far = (i - skip) * itemsize;
            mine = gz_get(to + i) - gz_get(to + skip) == far;
            if (from && gz_get(from + i) - gz_get(from + skip) != far) mine = false;
        }
        straight = __syncthreads_and(mine);
    }
    if (!straight || threadIdx.x != 0) return;
    share.to = gz_get(to + skip) - skip * itemsize;
    if (from) share.from = gz_get(from + skip) - skip * itemsize;
    share.axis = {nullptr, nullptr, from ? itemsize : 0, itemsize};
}

// The lowest four bits of all threads' numbers together; a barrier.
GZ_DEVICE gz_u32 gz_low_bits(gz_u32* low, gz_u32 bits) {
    gz_u32 all = 0;
#pragma unroll
    for (gz_u32 bit = 1; bit <= 8; bit *= 2)
        if (gz_any(bits & bit)) all |= bit;
    if (gz_lane() == 0) low[threadIdx.x / 32] = all;
    __syncthreads();
    return low[0] | low[1] | low[2] | low[3];
}

// All threads; the share was begun.
template <class Tile>
GZ_DEVICE void gz_copy_share(gz_share<Tile>& share, gz_u32 elements) {
    __syncthreads();
    gz_straighten(share);
    if (threadIdx.x == 0) gz_plan_rows(share, elements);
    __syncthreads();
    while (share.left > 0) {
        gz_u32 bits = 0;
        if (threadIdx.x < share.height) {
            gz_way way = gz_row_begin(share.tile, share.row + threadIdx.x);
            way.from += share.from + share.lead * share.here.from_pitch;
            way.to += share.to + share.lead * share.here.to_pitch;
            share.rows[threadIdx.x] = way;
            bits = (gz_u32)(share.filled ? way.to : way.from | way.to);
        }
        bits = gz_low_bits(share.low, bits);
        gz_copy_rows(share, bits);
        __syncthreads();
        if (threadIdx.x == 0) gz_go_on(share, elements);
        __syncthreads();
    }
}
