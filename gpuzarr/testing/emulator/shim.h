// The CUDA dialect for an ordinary C++ compiler: what a kernel's source finds already declared.
//
// Every CUDA thread runs as a fiber, one block after another (runtime.cpp). What a kernel asks of the device goes through
// the emu_ functions below; the rest is plain C++. Only what kernels/ may use is here: a name that is missing is a name
// that has no one spelling for NVRTC, nvcc and hipRTC.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>
#include <utility>

#define EMU_HIDDEN __attribute__((visibility("hidden")))
#define EMU_INLINE inline __attribute__((always_inline))
// Code of the shim itself, which the checker must not look at. Never inlined: its callers are instrumented.
#define EMU_UNCHECKED __attribute__((noinline, no_sanitize("thread")))

#define __global__ __attribute__((noinline, visibility("hidden")))
#define __device__
#define __host__
#define __forceinline__ EMU_INLINE
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static const
// One section holds every shared array: only there does the runtime give a block its own. Compilers drop the section
// from arrays inside templates; the checker then reports a write outside shared memory.
#define __shared__ static __attribute__((section("emu_shared")))

// ---- vector types, aligned as CUDA aligns them ----

#define EMU_VECTOR(T, name, align2, align4)                                 \
    struct alignas(T) name##1 { T x; };                                     \
    struct alignas(align2) name##2 { T x, y; };                             \
    struct name##3 { T x, y, z; };                                          \
    struct alignas(align4) name##4 { T x, y, z, w; };                       \
    EMU_INLINE name##2 make_##name##2(T x, T y) { return {x, y}; }          \
    EMU_INLINE name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }  \
    EMU_INLINE name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMU_VECTOR(signed char, char, 2, 4)
EMU_VECTOR(unsigned char, uchar, 2, 4)
EMU_VECTOR(short, short, 4, 8)
EMU_VECTOR(unsigned short, ushort, 4, 8)
EMU_VECTOR(int, int, 8, 16)
EMU_VECTOR(unsigned int, uint, 8, 16)
EMU_VECTOR(float, float, 8, 16)
EMU_VECTOR(long long, longlong, 16, 16)
EMU_VECTOR(unsigned long long, ulonglong, 16, 16)
EMU_VECTOR(double, double, 16, 16)
#undef EMU_VECTOR

// ---- the runtime's side ----

struct EmuSite {  // where in the source a collective stands; its address tells two apart
    const char* file;
    int line;
};
enum EmuOp { EMU_SYNC, EMU_SHFL, EMU_SHFL_UP, EMU_SHFL_DOWN, EMU_SHFL_XOR, EMU_BALLOT, EMU_ANY, EMU_ALL };
enum EmuVote { EMU_PLAIN, EMU_COUNT, EMU_AND, EMU_OR };
struct EmuThread {
    uint3 index;
};
typedef void (*EmuThunk)(const char* arguments);  // each argument in a slot of 8 bytes

extern "C" {
extern EMU_HIDDEN EmuThread* emu_thread;  // the one that runs
extern EMU_HIDDEN uint3 emu_block_index, emu_block_size, emu_grid_size;
EMU_HIDDEN int emu_barrier(const EmuSite* site, EmuVote vote, int predicate);
EMU_HIDDEN void emu_warp(const EmuSite* site, EmuOp op, unsigned mask, const void* in, void* out, unsigned size,
                         unsigned operand, unsigned width);
EMU_HIDDEN void emu_trap(const EmuSite* site);
EMU_HIDDEN void* emu_dynamic_shared();
EMU_HIDDEN void emu_kernel(const char* name, EmuThunk thunk, const char* signature, unsigned most_threads);
#ifdef EMU_CHECK
EMU_HIDDEN void emu_atomic(const void* address, unsigned size, const void* place);
EMU_HIDDEN void* emu_memcpy(void* to, const void* from, size_t size);
EMU_HIDDEN void* emu_memset(void* to, int value, size_t size);
#else
static EMU_INLINE void emu_atomic(const void*, unsigned, const void*) {}
#endif
}
#ifdef EMU_CHECK  // compilers do not instrument these; libtsan would intercept them
#define memcpy emu_memcpy
#define memset emu_memset
#endif

#define threadIdx (emu_thread->index)
#define blockIdx emu_block_index
#define blockDim emu_block_size
#define gridDim emu_grid_size
#define warpSize 32

// ---- barriers and warp collectives ----

#define EMU_SITE __extension__({ static const EmuSite emu_site = {__FILE__, __LINE__}; &emu_site; })
#define __syncthreads() ((void)emu_barrier(EMU_SITE, EMU_PLAIN, 0))
#define __syncthreads_count(p) emu_barrier(EMU_SITE, EMU_COUNT, (p) != 0)
#define __syncthreads_and(p) emu_barrier(EMU_SITE, EMU_AND, (p) != 0)
#define __syncthreads_or(p) emu_barrier(EMU_SITE, EMU_OR, (p) != 0)

template <class T>
EMU_INLINE T emu_shuffle(const EmuSite* site, EmuOp op, unsigned mask, T value, unsigned operand, unsigned width = 32) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA shuffles values of 4 and 8 bytes");
    T result;
    emu_warp(site, op, mask, &value, &result, sizeof(T), operand, width);
    return result;
}
EMU_INLINE unsigned emu_vote(const EmuSite* site, EmuOp op, unsigned mask, bool predicate) {
    const unsigned value = predicate;
    unsigned result;
    emu_warp(site, op, mask, &value, &result, sizeof result, 0, 32);
    return result;
}
EMU_INLINE unsigned emu_mask(unsigned mask = 0xffffffffu) { return mask; }
#define __syncwarp(...) emu_warp(EMU_SITE, EMU_SYNC, emu_mask(__VA_ARGS__), nullptr, nullptr, 0, 0, 32)
#define __shfl_sync(mask, ...) emu_shuffle(EMU_SITE, EMU_SHFL, mask, __VA_ARGS__)
#define __shfl_up_sync(mask, ...) emu_shuffle(EMU_SITE, EMU_SHFL_UP, mask, __VA_ARGS__)
#define __shfl_down_sync(mask, ...) emu_shuffle(EMU_SITE, EMU_SHFL_DOWN, mask, __VA_ARGS__)
#define __shfl_xor_sync(mask, ...) emu_shuffle(EMU_SITE, EMU_SHFL_XOR, mask, __VA_ARGS__)
#define __ballot_sync(mask, p) emu_vote(EMU_SITE, EMU_BALLOT, mask, (p) != 0)
#define __any_sync(mask, p) ((int)emu_vote(EMU_SITE, EMU_ANY, mask, (p) != 0))
#define __all_sync(mask, p) ((int)emu_vote(EMU_SITE, EMU_ALL, mask, (p) != 0))
#define __trap() emu_trap(EMU_SITE)
#define __threadfence() ((void)0)
#define __threadfence_block() ((void)0)

// ---- loads and stores with a hint for a cache ----

#define __ldg(p) (*(p))
#define __ldcs(p) (*(p))
#define __ldcg(p) (*(p))
#define __stcs(p, v) ((void)(*(p) = (v)))
#define __stcg(p, v) ((void)(*(p) = (v)))

// ---- integers ----

EMU_INLINE unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
    const uint64_t bytes = (uint64_t)high << 32 | low;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i) {
        const unsigned nibble = selector >> (4 * i);
        unsigned byte = (unsigned)(bytes >> (8 * (nibble & 7))) & 0xff;
        if (nibble & 8) byte = byte & 0x80 ? 0xff : 0;  // the sign, spread
        result |= byte << (8 * i);
    }
    return result;
}
EMU_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
EMU_INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
EMU_INLINE int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
EMU_INLINE int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
EMU_INLINE int __ffs(int x) { return __builtin_ffs(x); }
EMU_INLINE int __ffsll(long long x) { return __builtin_ffsll(x); }
EMU_INLINE unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
EMU_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
EMU_INLINE unsigned __brev(unsigned x) {
    unsigned result = 0;
    for (int i = 0; i < 32; ++i) result |= (x >> i & 1) << (31 - i);
    return result;
}
EMU_INLINE unsigned long long __brevll(unsigned long long x) {
    return (unsigned long long)__brev((unsigned)x) << 32 | __brev((unsigned)(x >> 32));
}
EMU_INLINE unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((uint64_t)high << 32 | low) << (shift & 31) >> 32);
}
EMU_INLINE unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}
template <class A, class B>
EMU_INLINE typename std::common_type<A, B>::type min(A a, B b) {
    typedef typename std::common_type<A, B>::type T;
    return (T)b < (T)a ? (T)b : (T)a;
}
template <class A, class B>
EMU_INLINE typename std::common_type<A, B>::type max(A a, B b) {
    typedef typename std::common_type<A, B>::type T;
    return (T)a < (T)b ? (T)b : (T)a;
}

// ---- atomics: threads take turns, so a plain read and write is one ----

#define EMU_ATOMIC(name, result)                                          \
    template <class T, class U>                                           \
    EMU_UNCHECKED T name(T* address, U operand) {                         \
        emu_atomic(address, sizeof(T), __builtin_return_address(0));      \
        const T old = *address, value = (T)operand;                       \
        *address = (result);                                              \
        return old;                                                       \
    }
EMU_ATOMIC(atomicAdd, old + value)
EMU_ATOMIC(atomicSub, old - value)
EMU_ATOMIC(atomicExch, value)
EMU_ATOMIC(atomicMin, value < old ? value : old)
EMU_ATOMIC(atomicMax, old < value ? value : old)
EMU_ATOMIC(atomicAnd, old & value)
EMU_ATOMIC(atomicOr, old | value)
EMU_ATOMIC(atomicXor, old ^ value)
#undef EMU_ATOMIC
template <class T, class U, class V>
EMU_UNCHECKED T atomicCAS(T* address, U expected, V value) {
    emu_atomic(address, sizeof(T), __builtin_return_address(0));
    const T old = *address;
    if (old == (T)expected) *address = (T)value;
    return old;
}

// ---- a kernel is called with its arguments in slots, and says what they are ----

template <class T>
constexpr char emu_letter() {  // as Python's struct module has it
    static_assert(std::is_pointer<T>::value || std::is_arithmetic<T>::value, "numbers and pointers only");
    if (std::is_floating_point<T>::value) return sizeof(T) == 4 ? 'f' : 'd';
    const bool sign = std::is_signed<T>::value;
    return sizeof(T) == 1 ? (sign ? 'b' : 'B') : sizeof(T) == 2 ? (sign ? 'h' : 'H')
         : sizeof(T) == 4 ? (sign ? 'i' : 'I') : (sign ? 'q' : 'Q');
}
template <class... T>
struct EmuSignature {
    static constexpr char letters[] = {emu_letter<T>()..., 0};
};
template <class... T, size_t... I>
EMU_UNCHECKED static void emu_call(void (*kernel)(T...), const char* arguments, std::index_sequence<I...>) {
    kernel(*(const typename std::remove_cv<T>::type*)(arguments + 8 * I)...);
}
template <class... T>
EMU_UNCHECKED static void emu_call(void (*kernel)(T...), const char* arguments) {
    emu_call(kernel, arguments, std::index_sequence_for<T...>());
}
template <class... T>
static void emu_register(const char* name, EmuThunk thunk, void (*)(T...), unsigned most_threads) {
    emu_kernel(name, thunk, EmuSignature<T...>::letters, most_threads);
}
#define EMU_KERNEL(name, most_threads)                                                                \
    EMU_UNCHECKED static void emu_thunk_##name(const char* arguments) { emu_call(name, arguments); }  \
    __attribute__((constructor)) static void emu_register_##name() {                                  \
        emu_register(#name, emu_thunk_##name, name, most_threads);                                    \
    }
