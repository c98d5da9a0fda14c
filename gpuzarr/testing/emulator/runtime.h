// What the parts of the runtime know of each other: the running thread, its findings, and what the checker is told.
#pragma once
#include "shim.h"

#undef memcpy  // the kernels' are watched, the runtime's are not
#undef memset

#define EMU_EXPORT extern "C" __attribute__((visibility("default")))  // what Python calls

namespace emu {  // the kernels' own names must not meet these

typedef unsigned long long u64;

struct Fiber;

struct Thread : EmuThread {  // a CUDA thread of the block that runs
    Fiber* fiber;            // null: it has not begun, or has ended
    unsigned id;             // its number in the block; its warp is id / 32
    // what it waits for, at a warp collective
    const EmuSite* site;
    EmuOp op;
    unsigned mask, size, operand, width;
    const void* in;
    void* out;
};

struct Kernel {
    const char* name;
    EmuThunk thunk;
    const char* signature;
    unsigned most_threads;  // its __launch_bounds__, or 1024
    unsigned shared;        // bytes of its shared arrays
};

struct SharedArray {
    char* begin;
    unsigned size;
    int kernel;  // -1: any
};

enum { MAX_THREADS = 1024, MAX_WARPS = 32, MAX_KERNELS = 256, MAX_SHARED = 48 << 10, STACK = 64 << 10 };

extern Thread* running;          // null between threads
extern char* running_stack;      // STACK bytes: the thread's local memory
extern const Kernel* launched;
extern SharedArray shared_arrays[];
extern int shared_array_count;
extern char dynamic_shared[MAX_SHARED];

// Ends the launch with a message: what happened, and where (either may be null).
[[noreturn]] void fail(const EmuSite* site, const void* place, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

// ---- a launch ends: by itself, or by the watch (watch.cpp) ----

extern volatile int busy;     // the runtime's own code runs: not to be left half-way
extern volatile int expired;  // time is up
void watch_begin(double seconds);
void watch_end();
[[noreturn]] void give_up(const void* place);

struct Busy {  // while one of these lives, the kernel's code does not run
    const void* place;
    explicit Busy(const void* at) : place(at) { busy = 1; }
    ~Busy() {
        busy = 0;
        if (__builtin_expect(expired, 0)) give_up(place);
    }
};

// ---- the checker's side (checker.cpp); nothing in the other modes ----

#ifdef EMU_CHECK
void check_launch(int kernel, unsigned dynamic);
void check_block();
void check_barrier();
void check_warp_sync(unsigned warp, unsigned mask, unsigned exists);
#else
static inline void check_launch(int, unsigned) {}
static inline void check_block() {}
static inline void check_barrier() {}
static inline void check_warp_sync(unsigned, unsigned, unsigned) {}
#endif

// ---- the counter's side (cover.cpp); nothing in the other modes ----

#ifdef EMU_COVER
bool count_launch(u64 blocks);  // false: no memory
void count_block(u64 block);
#else
static inline bool count_launch(u64) { return true; }
static inline void count_block(u64) {}
#endif

}  // namespace emu
