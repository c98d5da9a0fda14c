// Elements of decoded chunks to their places in a result, converted to its data type on the way.
//
// The columns are those of scatter.cu, and so are the launch rules (tiles.cuh), but for the element:
//   from, to   data types of chunks and of the result: 16 * a gz_kind + bytes of an element, which are 1, 2, 4 or 8
//   swap       0, or the bytes of an element of a chunk: they are reversed before it is converted
//   fill       one element of the result, as it is there, on a multiple of its size; not read where no src is 0
// Steps and positions are bytes of chunks, strides and targets bytes of the result. Addresses may have any alignment:
// elements go by one load and one store where theirs are multiples of their sizes, by bytes where not.
//
// Values are those of NumPy's astype (NumPy 2 on x86-64), and of ml_dtypes' where one side is bfloat16:
// - integers to narrower ones: the low bits; to floats: rounded once, to nearest even, by way of float32 where the
//   result has 16 bits (float32 holds all that are not infinite in float16);
// - floats to floats: rounded once, to nearest even; float64 to bfloat16 by way of float32, so twice;
// - NaNs keep their sign and the high bits of their payload. They become quiet between float32 and float64, stay as
//   they are from and to float16 (one whose bits are all lost gets the lowest), and are all one in bfloat16;
// - a bool is true where its byte is not 0.
// Floats to integers, bfloat16 to float16, and what is no bool to bool, have no meaning here. Nothing is hostile: any
// bytes are values.
#include "tiles.cuh"

enum gz_kind { GZ_UNSIGNED = 0, GZ_SIGNED = 1, GZ_BOOL = 2, GZ_FLOAT = 3, GZ_BRAIN = 4 };  // the last is bfloat16

#define GZ_HALF (16 * GZ_FLOAT + 2)
#define GZ_SINGLE (16 * GZ_FLOAT + 4)
#define GZ_DOUBLE (16 * GZ_FLOAT + 8)
#define GZ_BFLOAT (16 * GZ_BRAIN + 2)

struct gz_types {
    gz_u32 from, to;
};

// ---- numbers as bits ------------------------------------------------------------------------------------------------

union gz_float {
    float value;
    gz_u32 bits;
};
union gz_double {
    double value;
    gz_u64 bits;
};

GZ_DEVICE gz_u32 gz_bits(float value) {
    gz_float f;
    f.value = value;
    return f.bits;
}
GZ_DEVICE gz_u64 gz_bits(double value) {
    gz_double d;
    d.value = value;
    return d.bits;
}

// float32 from float64. GPUs forget what a NaN was.
GZ_DEVICE gz_u32 gz_single_of_double(gz_u64 bits) {
    if (bits << 1 > 0xffe0000000000000ull)
        return (gz_u32)(bits >> 63) << 31 | 0x7fc00000 | ((gz_u32)(bits >> 29) & 0x3fffff);
    gz_double d;
    d.bits = bits;
    return gz_bits((float)d.value);
}

// float32 from float64 for those who round to float16 then: bits that are lost leave a one in the last place, so that
// they count. What is infinite in float16, or zero, only has to stay so.
GZ_DEVICE gz_u32 gz_odd_of_double(gz_u64 bits) {
    const gz_u32 sign = (gz_u32)(bits >> 63) << 31;
    const gz_u64 rest = bits & 0x7fffffffffffffffull;
    const gz_u32 last = (bits & 0x1fffffff) != 0;
    if (rest > 0x7ff0000000000000ull) return sign | 0x7f800000 | ((gz_u32)(rest >> 29) & 0x7fffff) | last;
    if (rest >= 0x40f0000000000000ull) return sign | 0x7f800000;  // 65536
    if (rest < 0x3e50000000000000ull) return sign;                // 2^-26
    return sign | ((gz_u32)(rest >> 29) - (896u << 23)) | last;
}

GZ_DEVICE gz_u64 gz_double_of_single(gz_u32 bits, bool quiet) {
    if (bits << 1 > 0xff000000u)
        return (gz_u64)(bits >> 31) << 63 | (quiet ? 0x7ff8000000000000ull : 0x7ff0000000000000ull) |
               (gz_u64)(bits & 0x7fffff) << 29;
    gz_float f;
    f.bits = bits;
    return gz_bits((double)f.value);
}

GZ_DEVICE gz_u32 gz_single_of_half(gz_u32 bits) {
    const gz_u32 sign = (bits & 0x8000) << 16, rest = bits & 0x7fff;
    if (rest < 0x400) return sign | gz_bits((float)rest * 5.9604644775390625e-8f);  // of 2^-24
    return sign | (rest << 13) + ((rest < 0x7c00 ? 112u : 224u) << 23);
}

GZ_DEVICE gz_u32 gz_half_of_single(gz_u32 bits) {
    const gz_u32 sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest > 0x7f800000) {
        const gz_u32 payload = rest >> 13 & 0x3ff;
        return sign | 0x7c00 | (payload ? payload : 1);
    }
    if (rest >= 0x477ff000) return sign | 0x7c00;  // 65520: nearer to 65536 than to 65504
    if (rest >= 0x38800000)                        // 2^-14: a carry into the exponent is right
        return sign | (rest - (112u << 23) + 0xfff + (rest >> 13 & 1)) >> 13;
    if (rest <= 0x33000000) return sign;           // 2^-25: half of the least, and even is zero
    const gz_u32 shift = 126 - (rest >> 23), fraction = (rest & 0x7fffff) | 0x800000;
    const gz_u32 kept = fraction >> shift, lost = fraction << (32 - shift);
    return sign | (kept + (lost > 0x80000000u || (lost == 0x80000000u && (kept & 1))));
}

GZ_DEVICE gz_u32 gz_bfloat_of_single(gz_u32 bits) {
    if (bits << 1 > 0xff000000u) return (bits >> 16 & 0x8000) | 0x7fc0;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// An integer's 64 bits, its sign spread.
GZ_DEVICE gz_u64 gz_integer(gz_u64 bits, gz_u32 from) {
    const gz_u32 kind = from >> 4, unused = 64 - 8 * (from & 15);
    if (kind == GZ_BOOL) return bits != 0;
    return kind == GZ_SIGNED ? (gz_u64)((gz_i64)(bits << unused) >> unused) : bits;
}

// An element's bits, as bits of the other type; those above its size are not zero.
GZ_DEVICE gz_u64 gz_converted(gz_u64 bits, gz_types types) {
    const gz_u32 from = types.from, to = types.to;
    if (from == to) return bits;
    gz_u32 single;
    if (from < 16 * GZ_FLOAT) {
        bits = gz_integer(bits, from);
        if (to < 16 * GZ_FLOAT) return bits;
        const bool sign = from >> 4 == GZ_SIGNED;
        if (to == GZ_DOUBLE) return gz_bits(sign ? (double)(gz_i64)bits : (double)bits);
        single = gz_bits(sign ? (float)(gz_i64)bits : (float)bits);
    } else if (from == GZ_DOUBLE) {
        single = to == GZ_HALF ? gz_odd_of_double(bits) : gz_single_of_double(bits);
    } else if (from == GZ_HALF) {
        single = gz_single_of_half((gz_u32)bits);
    } else {
        single = from == GZ_BFLOAT ? (gz_u32)bits << 16 : (gz_u32)bits;
    }
    if (to == GZ_DOUBLE) return gz_double_of_single(single, from != GZ_HALF);
    if (to == GZ_HALF) return gz_half_of_single(single);
    return to == GZ_BFLOAT ? gz_bfloat_of_single(single) : single;
}

// ---- elements -------------------------------------------------------------------------------------------------------

GZ_DEVICE gz_u64 gz_number(gz_u32 v) { return v; }
GZ_DEVICE gz_u64 gz_number(uint2 v) { return (gz_u64)v.y << 32 | v.x; }

// Those elements that `mask` names.
template <class V>
GZ_DEVICE void gz_load_elements(const gz_way (&way)[GZ_TILE_BATCH], gz_u32 mask, gz_u32 swap,
                                gz_u64 (&value)[GZ_TILE_BATCH]) {
#pragma unroll
    for (gz_u32 k = 0; k < GZ_TILE_BATCH; k++)
        if (mask >> k & 1) value[k] = gz_number(gz_turned(gz_get((const V*)way[k].from), swap));
}

template <class V>
GZ_DEVICE void gz_store_elements(const gz_way (&way)[GZ_TILE_BATCH], gz_u32 mask,
                                 const gz_u64 (&value)[GZ_TILE_BATCH]) {
#pragma unroll
    for (gz_u32 k = 0; k < GZ_TILE_BATCH; k++)
        if (mask >> k & 1) gz_put((V*)way[k].to, (V)value[k]);
}

GZ_DEVICE void gz_cast_elements(const gz_way (&way)[GZ_TILE_BATCH], gz_u32 mask, gz_types types, gz_u32 swap) {
    const gz_u32 size = types.from & 15, room = types.to & 15;
    gz_u64 value[GZ_TILE_BATCH] = {};
    if (size == 8) gz_load_elements<uint2>(way, mask, swap, value);
    else if (size == 4) gz_load_elements<gz_u32>(way, mask, swap, value);
    else if (size == 2) gz_load_elements<gz_u16>(way, mask, swap, value);
    else gz_load_elements<gz_u8>(way, mask, swap, value);
#pragma unroll
    for (gz_u32 k = 0; k < GZ_TILE_BATCH; k++) value[k] = gz_converted(value[k], types);
    if (room == 8) gz_store_elements<gz_u64>(way, mask, value);
    else if (room == 4) gz_store_elements<gz_u32>(way, mask, value);
    else if (room == 2) gz_store_elements<gz_u16>(way, mask, value);
    else gz_store_elements<gz_u8>(way, mask, value);
}

// Whether an element has an address that is no multiple of its size.
GZ_DEVICE bool gz_is_odd(const gz_way& way, gz_types types) {
    return (way.from & ((types.from & 15) - 1)) != 0 || (way.to & ((types.to & 15) - 1)) != 0;
}

// The elements at hand whose addresses are multiples of their sizes. True if there are others.
GZ_DEVICE bool gz_cast_even(const gz_way* rows, const volatile gz_axis& axis, gz_span span, gz_types types,
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
            const bool odd = gz_is_odd(way[k], types);
            left |= odd;
            if (!odd && at < span.count) mask |= 1 << k;
        }
        if (mask) gz_cast_elements(way, mask, types, swap);
    }
    return left;
}

// The others, by bytes.
GZ_DEVICE void gz_cast_odd(const gz_way* rows, const volatile gz_axis& axis, gz_span span, gz_types types,
                           gz_u32 swap) {
    const gz_divisor length(span.length);
    const gz_u32 size = types.from & 15, room = types.to & 15;
#pragma unroll 1
    for (gz_u32 index = threadIdx.x; index < span.count; index += GZ_TILE_THREADS) {
        const gz_way way = gz_element(rows, axis, length, span.skip + index);
        if (!gz_is_odd(way, types)) continue;
        gz_u64 value = 0;
#pragma unroll 1
        for (gz_u32 i = 0; i < size; i++)
            value = value << 8 | gz_get((const gz_u8*)(way.from + (swap > 1 ? i : size - 1 - i)));
        value = gz_converted(value, types);
#pragma unroll 1
        for (gz_u32 i = 0; i < room; i++) gz_put((gz_u8*)(way.to + i), (gz_u8)(value >> 8 * i));
    }
}

// All threads; the share was begun. As gz_copy_share, but that elements have two sizes: lists stay lists.
template <class Tile>
GZ_DEVICE void gz_cast_share(gz_share<Tile>& share, gz_u32 from, gz_u32 to, gz_u32 elements) {
    __syncthreads();
    if (threadIdx.x == 0) gz_plan_rows(share, elements);
    __syncthreads();
    const gz_types types = {share.filled ? to : from, to};
    while (share.left > 0) {
        if (threadIdx.x < share.height) {
            gz_way way = gz_row_begin(share.tile, share.row + threadIdx.x);
            way.from += share.lead * share.here.from_pitch;
            way.to += share.lead * share.here.to_pitch;
            share.rows[threadIdx.x] = way;
        }
        __syncthreads();
        if (gz_cast_even(share.rows, share.here, share.span, types, share.swap))
            gz_cast_odd(share.rows, share.here, share.span, types, share.swap);
        __syncthreads();
        if (threadIdx.x == 0) gz_go_on(share, elements);
        __syncthreads();
    }
}

// ---- kernels --------------------------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(GZ_TILE_THREADS, GZ_TILE_BLOCKS)
gz_cast_boxes(const gz_u64* src, const gz_u64* dst, const gz_i64* count, const gz_i64* step, const gz_i64* out_strides,
              gz_i32 d, gz_i32 from, gz_i32 to, gz_i32 swap, const gz_u8* fill, gz_i32 elements, const gz_i64* first,
              gz_u32 n) {
    __shared__ gz_share<gz_box> share;
    const gz_i64 i = gz_tile_of(first, n, blockIdx.x);
    if (threadIdx.x == 0) {
        const bool filled = src[i] == 0;
        const gz_u64 begin = filled ? (gz_u64)fill : src[i];
        const gz_box tile = {{begin, dst[i]}, count + i * d, filled ? nullptr : step + i * d, out_strides, d};
        gz_begin_share(share, tile, filled, from & 15, swap, (blockIdx.x - first[i]) * elements, elements);
    }
    gz_cast_share(share, from, to, elements);
}

extern "C" __global__ void __launch_bounds__(GZ_TILE_THREADS, GZ_TILE_BLOCKS)
gz_cast_tables(const gz_u64* src, gz_u64 out, const gz_i64* first_entry, const gz_i64* count, const gz_u64* positions,
               const gz_u64* targets, gz_i32 d, gz_i32 from, gz_i32 to, gz_i32 swap, const gz_u8* fill,
               gz_i32 elements, const gz_i64* first, gz_u32 n) {
    __shared__ gz_share<gz_table> share;
    const gz_i64 i = gz_tile_of(first, n, blockIdx.x);
    if (threadIdx.x == 0) {
        const bool filled = src[i] == 0;
        const gz_u64 begin = filled ? (gz_u64)fill : src[i];
        const gz_table tile = {{begin, out}, count + i * d, first_entry + i * d, filled ? nullptr : positions,
                               targets, d};
        gz_begin_share(share, tile, filled, from & 15, swap, (blockIdx.x - first[i]) * elements, elements);
    }
    gz_cast_share(share, from, to, elements);
}

extern "C" __global__ void __launch_bounds__(GZ_TILE_THREADS, GZ_TILE_BLOCKS)
gz_cast_points(const gz_u64* src, gz_u64 out, const gz_i64* first_point, const gz_i64* count, const gz_i64* position,
               const gz_i64* target, gz_i32 from, gz_i32 to, gz_i32 swap, const gz_u8* fill, gz_i32 elements,
               const gz_i64* first, gz_u32 n) {
    __shared__ gz_share<gz_points> share;
    const gz_i64 i = gz_tile_of(first, n, blockIdx.x);
    if (threadIdx.x == 0) {
        const bool filled = src[i] == 0;
        const gz_u64 begin = filled ? (gz_u64)fill : src[i];
        const gz_points tile = {{begin, out}, count + i, filled ? nullptr : position + first_point[i],
                                target + first_point[i]};
        gz_begin_share(share, tile, filled, from & 15, swap, (blockIdx.x - first[i]) * elements, elements);
    }
    gz_cast_share(share, from, to, elements);
}
