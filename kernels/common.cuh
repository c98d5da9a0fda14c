// What every kernel shares: types, statuses, and the warp operations in one spelling for CUDA, HIP and the host emulator.
//
// NVRTC has no <stdint.h>, so types are spelled with built-ins. A warp is 32 lanes everywhere: on hardware with wavefronts
// of 64 two warps share one, and the operations below keep to their own half. All lanes of a warp take part in each.
//
// Tables are columns of 64-bit numbers in device memory, made by the host; addresses in them are device addresses.
// Kernels believe the tables (the planner checked them) and nothing else: bytes of a stream are hostile.
#pragma once

typedef signed char        gz_i8;
typedef unsigned char      gz_u8;
typedef unsigned short     gz_u16;
typedef int                gz_i32;
typedef unsigned int       gz_u32;
typedef long long          gz_i64;
typedef unsigned long long gz_u64;

// What became of a stream. Status words are zero before a launch; a kernel writes only what is wrong.
enum gz_status {
    GZ_OK = 0,
    GZ_TRUNCATED = 1,  // the input ends in the middle of something
    GZ_OVERFLOW = 2,   // it decodes to more than there is room for
    GZ_OFFSET = 3,     // a match begins before the output does
    GZ_SIZE = 4,       // it decodes to less than it should
    GZ_FORMAT = 5,     // the bytes are not of this format
    GZ_CHECKSUM = 6,   // a checksum does not match
};

#if defined(__HIPCC__) || defined(__HIPCC_RTC__) || defined(__HIP_PLATFORM_AMD__)
#define GZ_HIP 1
#endif

// Pointers that were loaded from a table have no address space; without it loads of 16 bytes become generic ones.
#if defined(__CUDACC__) && !defined(GZ_HIP) && !defined(GZ_EMULATED)
#define GZ_ASSUME_GLOBAL(p) __builtin_assume(__isGlobal(p))
#else
#define GZ_ASSUME_GLOBAL(p) ((void)0)
#endif

#if defined(GZ_HIP)
#define gz_syncwarp() (__builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront"), __builtin_amdgcn_wave_barrier())
#define gz_shfl(v, lane) __shfl((v), (lane), 32)
#define gz_shfl_up(v, d) __shfl_up((v), (d), 32)
#define gz_shfl_down(v, d) __shfl_down((v), (d), 32)
#define gz_shfl_xor(v, m) __shfl_xor((v), (m), 32)
#define gz_ballot(p) ((gz_u32)(__ballot(p) >> (warpSize == 64 ? (__lane_id() & 32) : 0)))
#else
#define gz_syncwarp() __syncwarp(0xffffffffu)
#define gz_shfl(v, lane) __shfl_sync(0xffffffffu, (v), (lane))
#define gz_shfl_up(v, d) __shfl_up_sync(0xffffffffu, (v), (d))
#define gz_shfl_down(v, d) __shfl_down_sync(0xffffffffu, (v), (d))
#define gz_shfl_xor(v, m) __shfl_xor_sync(0xffffffffu, (v), (m))
#define gz_ballot(p) __ballot_sync(0xffffffffu, (p))
#endif
#define gz_any(p) (gz_ballot(p) != 0)
#define gz_lane() (threadIdx.x & 31)

#define GZ_DEVICE __device__ __forceinline__

// The row whose share of the blocks holds `block`: first[row] <= block < first[row + 1], where first[n] > block.
GZ_DEVICE gz_u32 gz_row_of(const gz_i64* first, gz_u32 n, gz_i64 block) {
    gz_u32 low = 0, high = n;
    while (high - low > 1) {
        const gz_u32 middle = low + (high - low) / 2;
        if (first[middle] <= block) low = middle;
        else high = middle;
    }
    return low;
}
