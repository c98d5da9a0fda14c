// Strided copies between a chunk and an array: boxes, and lists of positions. Byte order is reversed on the way.
//
// A box is reduced first: axes of length one go, the rest are ordered by destination stride, neighbours that are one
// run of memory become one axis. Elements are copied in units of 1, 2, 4, 8 or 16 bytes; other sizes get one more axis.

#pragma once
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace gz {

constexpr int kMaxAxes = 66;  // NumPy's 64, one for elements that are not one unit, one spare

struct Axis {
    int64_t n, dst, src;  // steps, and bytes from one to the next
};

struct Box {
    int rank = 0;
    Axis axis[kMaxAxes];

    // Axes must be added before reduce().
    void add(int64_t n, int64_t dst, int64_t src) { axis[rank++] = {n, dst, src}; }

    bool empty() const {
        for (int d = 0; d < rank; d++)
            if (axis[d].n <= 0) return true;
        return false;
    }

    // Bytes from the source's first element down to its lowest and up to its highest.
    void reach(int64_t* low, int64_t* high) const {
        *low = *high = 0;
        for (int d = 0; d < rank; d++) {
            const int64_t span = (axis[d].n - 1) * axis[d].src;
            *(span < 0 ? low : high) += span;
        }
    }

    void reduce() {
        int kept = 0;
        for (int d = 0; d < rank; d++)
            if (axis[d].n != 1) insert(kept++, axis[d]);
        rank = kept;
        merge();
    }

    bool is_run(int64_t unit) const {
        return rank == 0 || (rank == 1 && axis[0].dst == unit && axis[0].src == unit);
    }

  private:
    static int64_t size(int64_t stride) { return stride < 0 ? -stride : stride; }

    // Into the first `at` axes, which are in order already: widest destination stride first.
    void insert(int at, Axis fresh) {
        for (; at > 0 && size(axis[at - 1].dst) < size(fresh.dst); at--) axis[at] = axis[at - 1];
        axis[at] = fresh;
    }

    void merge() {
        int last = 0;
        for (int d = 1; d < rank; d++) {
            const Axis &outer = axis[last], &inner = axis[d];
            const bool one_run = outer.dst == inner.dst * inner.n && outer.src == inner.src * inner.n;
            if (one_run)
                axis[last] = {outer.n * inner.n, inner.dst, inner.src};
            else
                axis[++last] = inner;
        }
        if (rank > 0) rank = last + 1;
    }
};

// ---- elements ------------------------------------------------------------------------------------------------------

struct Wide {
    uint64_t low, high;
};

inline uint8_t reversed(uint8_t x) { return x; }
inline uint16_t reversed(uint16_t x) { return __builtin_bswap16(x); }
inline uint32_t reversed(uint32_t x) { return __builtin_bswap32(x); }
inline uint64_t reversed(uint64_t x) { return __builtin_bswap64(x); }
inline Wide reversed(Wide x) { return {reversed(x.high), reversed(x.low)}; }

template <class T, bool Swap>
inline void move(char* dst, const char* src) {
    T value;
    memcpy(&value, src, sizeof value);
    if (Swap) value = reversed(value);
    memcpy(dst, &value, sizeof value);
}

// ---- rows: contiguous on both sides --------------------------------------------------------------------------------

// `n` bytes; a call to memcpy costs more than a short row does.
inline void copy_row(char* dst, const char* src, int64_t n) {
#if defined(__SSE2__)
    if (n >= 16 && n <= 128) {
        const __m128i tail = _mm_loadu_si128(reinterpret_cast<const __m128i*>(src + n - 16));
        for (int64_t i = 0; i + 16 < n; i += 16)
            _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + i),
                             _mm_loadu_si128(reinterpret_cast<const __m128i*>(src + i)));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + n - 16), tail);
        return;
    }
#endif
    memcpy(dst, src, n);
}

// Whole cache lines go past the caches: they are neither read first nor do they push out what is still needed.
inline void stream_row(char* dst, const char* src, int64_t n) {
#if defined(__SSE2__)
    const int64_t head = -reinterpret_cast<intptr_t>(dst) & 63;
    const int64_t lines = n < head ? 0 : (n - head) / 64;
    if (lines == 0) return copy_row(dst, src, n);
    if (head != 0) copy_row(dst, src, head);
    dst += head, src += head, n -= head;
    for (int64_t i = 0; i < lines; i++, dst += 64, src += 64) {
        const __m128i* from = reinterpret_cast<const __m128i*>(src);
        __m128i* to = reinterpret_cast<__m128i*>(dst);
        const __m128i a = _mm_loadu_si128(from), b = _mm_loadu_si128(from + 1);
        const __m128i c = _mm_loadu_si128(from + 2), d = _mm_loadu_si128(from + 3);
        _mm_stream_si128(to, a), _mm_stream_si128(to + 1, b);
        _mm_stream_si128(to + 2, c), _mm_stream_si128(to + 3, d);
    }
    if (n > lines * 64) copy_row(dst, src, n - lines * 64);
#else
    memcpy(dst, src, n);
#endif
}

// What streaming stores wrote becomes visible to other threads.
inline void finish_streaming() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

template <class T>
inline void swap_row(char* dst, const char* src, int64_t n) {
    for (int64_t i = 0; i < n; i += sizeof(T)) move<T, true>(dst + i, src + i);
}

using Row = void (*)(char* dst, const char* src, int64_t nbytes);

// ---- planes: the two innermost axes of a box -----------------------------------------------------------------------

using Plane = void (*)(char* dst, const char* src, Axis outer, Axis inner);

template <Row copy, int Unit>
void plane_of_rows(char* dst, const char* src, Axis outer, Axis inner) {
    for (int64_t i = 0; i < outer.n; i++) copy(dst + i * outer.dst, src + i * outer.src, inner.n * Unit);
}

template <class T, bool Swap>
void copy_units(char* dst, const char* src, Axis outer, Axis inner) {
    for (int64_t i = 0; i < outer.n; i++)
        for (int64_t j = 0; j < inner.n; j++)
            move<T, Swap>(dst + i * outer.dst + j * inner.dst, src + i * outer.src + j * inner.src);
}

// A tile whose source runs along the outer axis and whose result along the inner one, turned in a small copy: rows of
// either side tend to be a power of two apart, where they push each other out of the cache.
constexpr int64_t kTile = 32;

template <class T, bool Swap, Row put>
void transpose_tile(char* dst, const char* src, Axis outer, Axis inner) {
    T from[kTile][kTile], to[kTile][kTile];
    for (int64_t j = 0; j < inner.n; j++) memcpy(from[j], src + j * inner.src, outer.n * sizeof(T));
    for (int64_t i = 0; i < outer.n; i++)
        for (int64_t j = 0; j < inner.n; j++) to[i][j] = Swap ? reversed(from[j][i]) : from[j][i];
    for (int64_t i = 0; i < outer.n; i++) put(dst + i * outer.dst, reinterpret_cast<char*>(to[i]), inner.n * sizeof(T));
}

template <class T, bool Swap, Row put>
void plane_of_units(char* dst, const char* src, Axis outer, Axis inner) {
    constexpr int64_t kUnit = sizeof(T);
    if (outer.src != kUnit || inner.dst != kUnit || outer.n < 4) return copy_units<T, Swap>(dst, src, outer, inner);
    for (int64_t i = 0; i < outer.n; i += kTile)
        for (int64_t j = 0; j < inner.n; j += kTile) {
            const Axis tall = {outer.n - i < kTile ? outer.n - i : kTile, outer.dst, outer.src};
            const Axis wide = {inner.n - j < kTile ? inner.n - j : kTile, inner.dst, inner.src};
            const int64_t to = i * outer.dst + j * inner.dst, from = i * outer.src + j * inner.src;
            transpose_tile<T, Swap, put>(dst + to, src + from, tall, wide);
        }
}

// ---- lists of positions --------------------------------------------------------------------------------------------

using Listed = void (*)(char* dst, const int64_t* to, const char* src, const int64_t* from, int64_t n);

template <class T, bool Swap>
void copy_listed(char* dst, const int64_t* to, const char* src, const int64_t* from, int64_t n) {
    for (int64_t i = 0; i < n; i++) move<T, Swap>(dst + to[i], src + from[i]);
}

// ---- the choice, made once a run -----------------------------------------------------------------------------------

// Copies elements of `itemsize` bytes; `swap`: bytes of the unit to reverse, or 0.
class Copier {
  public:
    Copier(int64_t itemsize, int64_t swap, bool streaming) : itemsize_(itemsize), unit_(unit_of(itemsize, swap)) {
        switch (unit_) {
            case 1: choose<uint8_t>(false, streaming); break;
            case 2: choose<uint16_t>(swap != 0, streaming); break;
            case 4: choose<uint32_t>(swap != 0, streaming); break;
            case 8: choose<uint64_t>(swap != 0, streaming); break;
            default: choose<Wide>(swap != 0, streaming); break;
        }
    }

    // The bytes that are moved at once.
    int64_t unit() const { return unit_; }

    // To be called on a box after its own axes were added.
    void complete(Box* box) const {
        if (unit_ != itemsize_) box->add(itemsize_ / unit_, unit_, unit_);
        box->reduce();
    }

    // `box` is complete.
    void copy(const Box& box, char* dst, const char* src) const {
        constexpr Axis kOnce{1, 0, 0};
        if (box.rank == 0) return row_(dst, src, unit_);
        const Axis& inner = box.axis[box.rank - 1];
        const bool rows = inner.dst == unit_ && inner.src == unit_;
        const Plane plane = rows ? plane_of_rows_ : plane_of_units_;
        if (box.rank == 1) return plane(dst, src, kOnce, inner);
        if (rows) return walk(box.axis, box.rank - 2, dst, src, plane, box.axis[box.rank - 2], inner);
        copy_across(box, dst, src);
    }

    // Element i from src + from[i] to dst + to[i].
    void copy(char* dst, const int64_t* to, const char* src, const int64_t* from, int64_t n) const {
        if (unit_ == itemsize_) return listed_(dst, to, src, from, n);
        for (int64_t i = 0; i < n; i++) row_(dst + to[i], src + from[i], itemsize_);
    }

    // A run of contiguous bytes, whole elements.
    void copy(char* dst, const char* src, int64_t nbytes) const { row_(dst, src, nbytes); }

  private:
    static int64_t unit_of(int64_t itemsize, int64_t swap) {
        if (swap != 0) return swap;
        const int64_t power = itemsize & -itemsize;
        return power < 16 ? power : 16;
    }

    template <class T>
    void choose(bool swap, bool streaming) {
        streaming ? choose<T, stream_row>(swap) : choose<T, copy_row>(swap);
    }

    template <class T, Row put>
    void choose(bool swap) {
        swap ? choose<T, true, put, swap_row<T>>() : choose<T, false, put, put>();
    }

    template <class T, bool Swap, Row put, Row row>
    void choose() {
        row_ = row;
        plane_of_rows_ = plane_of_rows<row, sizeof(T)>;
        plane_of_units_ = plane_of_units<T, Swap, put>;
        listed_ = copy_listed<T, Swap>;
    }

    static void walk(const Axis* axis, int rank, char* dst, const char* src, Plane plane, Axis outer, Axis inner) {
        if (rank == 0) return plane(dst, src, outer, inner);
        for (int64_t i = 0; i < axis->n; i++)
            walk(axis + 1, rank - 1, dst + i * axis->dst, src + i * axis->src, plane, outer, inner);
    }

    // The plane is spanned by the axis along which the result runs and the one along which the chunk does.
    void copy_across(const Box& box, char* dst, const char* src) const {
        Axis rest[kMaxAxes];
        int fastest = box.rank - 2;
        for (int d = 0; d < box.rank - 1; d++)
            if (magnitude(box.axis[d].src) < magnitude(box.axis[fastest].src)) fastest = d;
        int kept = 0;
        for (int d = 0; d < box.rank - 1; d++)
            if (d != fastest) rest[kept++] = box.axis[d];
        walk(rest, kept, dst, src, plane_of_units_, box.axis[fastest], box.axis[box.rank - 1]);
    }

    static int64_t magnitude(int64_t stride) { return stride < 0 ? -stride : stride; }

    int64_t itemsize_, unit_;
    Row row_;
    Plane plane_of_rows_, plane_of_units_;
    Listed listed_;
};

}  // namespace gz
