// Runs kernels on the host: every CUDA thread is a fiber, one block after another, with CUDA's barriers and collectives.
//
// Threads run until they wait; the one that completes a barrier or a collective goes on without a switch, and one that
// never waits runs on the stack of the one before it. Nothing is preempted: a thread that spins for another's write hangs,
// which the watch ends. One launch at a time (the caller holds a lock); the state below is the launch's.
#include "runtime.h"

#include <stdarg.h>
#include <stdio.h>

#include "collectives.h"
#include "fiber.h"

using namespace emu;

namespace {

enum Order { FORWARD, REVERSE, RANDOM };

Kernel kernels[MAX_KERNELS];
int kernel_count;
Thread threads[MAX_THREADS];
Warp warps[MAX_WARPS];
unsigned ready_warps;  // those with a runnable lane
unsigned thread_count, alive;
const EmuSite* barrier_site;
unsigned barrier_arrived, barrier_true;
int barrier_result;
const char* arguments;
unsigned dynamic_size;
Order order;
u64 random_state;
void* main_stack_pointer;
bool failed, unfinished;  // unfinished: this process was forked from one amid a launch
char message[1024];

[[noreturn]] void to_main() {
    void* abandoned;
    emu_switch(&abandoned, main_stack_pointer);
    __builtin_unreachable();
}

u64 random_bits() {  // xorshift64*
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 2685821657736338717ull >> 32;
}

unsigned choose(unsigned mask) {  // one of its bits
    if (order == FORWARD) return (unsigned)__builtin_ctz(mask);
    if (order == REVERSE) return 31 - (unsigned)__builtin_clz(mask);
    const unsigned turn = (unsigned)random_bits() & 31;
    const unsigned turned = turn ? mask >> turn | mask << (32 - turn) : mask;
    return ((unsigned)__builtin_ctz(turned) + turn) & 31;
}

void set_runnable(unsigned warp, unsigned lanes) {
    warps[warp].runnable |= lanes;
    ready_warps |= 1u << warp;
}

void clear_runnable(const Thread* thread) {
    Warp& warp = warps[thread->id / 32];
    warp.runnable &= ~(1u << thread->id % 32);
    if (!warp.runnable) ready_warps &= ~(1u << thread->id / 32);
}

Thread* pick() {
    if (!ready_warps) return nullptr;
    const unsigned warp = choose(ready_warps);
    return &threads[warp * 32 + choose(warps[warp].runnable)];
}

void become(Thread* thread) {
    running = thread;
    emu_thread = thread;
    running_stack = thread->fiber->stack;
}

// Some threads wait for what will never come: says who, and for what.
[[noreturn]] void stuck() {
    const Thread* one = nullptr;
    unsigned lanes = 0;
    for (unsigned i = 0; i < thread_count && !one; ++i)
        if (warps[i / 32].waiting >> i % 32 & 1) one = &threads[i];
    if (!one) fail(barrier_site, nullptr, "a barrier never completes");
    running = const_cast<Thread*>(one);
    for (unsigned lane = 0; lane < 32; ++lane) {
        const Thread& other = threads[one->id / 32 * 32 + lane];
        const bool there = warps[one->id / 32].waiting >> lane & 1;
        if (there && other.site == one->site && other.mask == one->mask) lanes |= 1u << lane;
    }
    if (barrier_arrived)
        fail(one->site, nullptr, "a warp collective of lanes 0x%08x never completes: only 0x%08x came, and %u threads "
             "stand at the barrier of line %d", one->mask, lanes, barrier_arrived, barrier_site->line);
    fail(one->site, nullptr, "a warp collective of lanes 0x%08x never completes: only 0x%08x came", one->mask, lanes);
}

void fiber_main();

// The running thread waits; others run until it may go on.
void suspend() {
    Thread* const me = running;
    Thread* const next = pick();
    if (!next) stuck();
    if (!next->fiber) {
        next->fiber = fiber_get();
        next->fiber->thread = next;
    }
    become(next);
    emu_switch(&me->fiber->stack_pointer, next->fiber->stack_pointer);
}

void release_barrier(EmuVote vote) {
    barrier_result = vote == EMU_COUNT ? (int)barrier_true
                     : vote == EMU_AND ? barrier_true == barrier_arrived
                                       : barrier_true != 0;
    barrier_arrived = barrier_true = 0;
    for (unsigned w = 0; w * 32 < thread_count; ++w) {
        const unsigned lanes = warps[w].exists & ~warps[w].done;
        if (lanes) set_runnable(w, lanes);
    }
    check_barrier();
}

EmuVote barrier_vote;

void leave(Thread* thread) {
    Warp& warp = warps[thread->id / 32];
    const unsigned lane = thread->id % 32;
    clear_runnable(thread);
    warp.done |= 1u << lane;
    for (unsigned others = warp.waiting; others; others &= others - 1) {
        const Thread& other = threads[thread->id / 32 * 32 + (unsigned)__builtin_ctz(others)];
        if (other.mask >> lane & 1)
            fail(other.site, nullptr, "a warp collective of lanes 0x%08x names lane %u, which has exited", other.mask, lane);
    }
    if (--alive && barrier_arrived == alive) release_barrier(barrier_vote);
}

void fiber_main() {
    for (;;) {
        Thread* const thread = running;
        Fiber* const mine = thread->fiber;
        { Busy begins(nullptr); }
        launched->thunk(arguments);
        busy = 1;
        leave(thread);
        thread->fiber = nullptr;
        Thread* const next = pick();
        if (next && !next->fiber) {  // on the same stack, with no switch
            next->fiber = mine;
            become(next);
            continue;
        }
        if (!next && alive) stuck();
        fiber_put(mine);
        if (next) become(next);
        emu_switch(&mine->stack_pointer, next ? next->fiber->stack_pointer : main_stack_pointer);
    }
}

// ---- launches ----

struct Size {
    unsigned x, y, z;
    u64 count() const { return (u64)x * y * z; }
};

bool launch_is_legal(Size grid, Size block, unsigned dynamic) {
    const char* wrong = nullptr;
    if (!grid.count() || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        wrong = "the grid is empty or too large";
    else if (!block.count() || block.x > 1024 || block.y > 1024 || block.z > 64 || block.count() > MAX_THREADS)
        wrong = "the block is empty or too large";
    else if (block.count() > launched->most_threads)
        wrong = "the block has more threads than __launch_bounds__ says";
    else if (dynamic > MAX_SHARED || launched->shared + dynamic > MAX_SHARED)
        wrong = "more than 48 KiB of shared memory";
    if (wrong)
        snprintf(message, sizeof message, "%s: grid (%u, %u, %u), block (%u, %u, %u), shared %u + %u bytes", wrong, grid.x,
                 grid.y, grid.z, block.x, block.y, block.z, launched->shared, dynamic);
    return !wrong;
}

void poison(char* begin, unsigned size) {  // shared memory is whatever it was
    for (unsigned i = 0; i < size; ++i) begin[i] = (char)(0xA5 ^ i * 31);
}

void begin_block(int kernel) {
    for (int i = 0; i < shared_array_count; ++i)
        if (shared_arrays[i].kernel == kernel || shared_arrays[i].kernel < 0)
            poison(shared_arrays[i].begin, shared_arrays[i].size);
    poison(dynamic_shared, dynamic_size);
    ready_warps = barrier_arrived = barrier_true = 0;
    alive = thread_count;
    for (unsigned w = 0; w * 32 < thread_count; ++w) {
        const unsigned left = thread_count - w * 32, lanes = left < 32 ? (1u << left) - 1 : ~0u;
        warps[w] = {lanes, 0, 0, 0};
        set_runnable(w, lanes);
    }
    check_block();
}

void run_block(int kernel) {
    begin_block(kernel);
    Thread* const first = pick();
    first->fiber = fiber_get();
    become(first);
    emu_switch(&main_stack_pointer, first->fiber->stack_pointer);
    running = nullptr;
}

void begin_launch(Size block) {
    thread_count = (unsigned)block.count();
    for (unsigned i = 0; i < thread_count; ++i) {
        threads[i].id = i;
        threads[i].index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
    }
}

void abandon() {
    for (Thread& thread : threads) thread.fiber = nullptr;
    fibers_reset(fiber_main);
    running = nullptr;
}

u64 gcd(u64 a, u64 b) { return b ? gcd(b, a % b) : a; }

}  // namespace

Thread* emu::running;
char* emu::running_stack;
const Kernel* emu::launched;
SharedArray emu::shared_arrays[1024];
int emu::shared_array_count;
alignas(256) char emu::dynamic_shared[MAX_SHARED];
EmuThread* emu_thread;
uint3 emu_block_index, emu_block_size, emu_grid_size;

void emu::fail(const EmuSite* site, const void* place, const char* format, ...) {
    busy = 1;
    failed = true;
    size_t n = 0;
    const size_t room = sizeof message;
    va_list values;
    va_start(values, format);
    n += (size_t)vsnprintf(message, room, format, values);
    va_end(values);
    if (site && n < room) {
        const char* base = strrchr(site->file, '/');
        n += (size_t)snprintf(message + n, room - n, " at %s:%d", base ? base + 1 : site->file, site->line);
    }
    if (place && n < room) n += (size_t)snprintf(message + n, room - n, " at {%p}", place);
    if (running && n < room)
        snprintf(message + n, room - n, ", block (%u, %u, %u), thread (%u, %u, %u)", emu_block_index.x, emu_block_index.y,
                 emu_block_index.z, running->index.x, running->index.y, running->index.z);
    to_main();
}

int emu_barrier(const EmuSite* site, EmuVote vote, int predicate) {
    Busy self(nullptr);
    if (barrier_arrived && site != barrier_site)
        fail(site, nullptr, "divergent __syncthreads: other threads of the block stand at line %d", barrier_site->line);
    barrier_site = site;
    barrier_vote = vote;
    barrier_true += predicate != 0;
    clear_runnable(running);
    if (++barrier_arrived == alive) release_barrier(vote);
    else suspend();
    return barrier_result;
}

void emu_warp(const EmuSite* site, EmuOp op, unsigned mask, const void* in, void* out, unsigned size, unsigned operand,
              unsigned width) {
    Busy self(nullptr);
    Thread* const me = running;
    const unsigned number = me->id / 32, lane = me->id % 32;
    Warp& warp = warps[number];
    Thread* const lanes = &threads[number * 32];
    check_mask(site, warp, lane, mask, width);
    me->site = site;
    me->op = op;
    me->mask = mask;
    me->in = in;
    me->out = out;
    me->size = size;
    me->operand = operand;
    me->width = width;
    warp.waiting |= 1u << lane;
    clear_runnable(me);
    if (!all_there(warp, lanes, *me)) return suspend();
    if (op == EMU_SYNC) check_warp_sync(number, mask, warp.exists);
    else if (op >= EMU_BALLOT) complete_vote(lanes, mask, op);
    else complete_shuffle(lanes, mask);
    warp.waiting &= ~mask;
    set_runnable(number, mask);
}

void emu_trap(const EmuSite* site) {
    Busy self(nullptr);
    fail(site, nullptr, "__trap");
}

void* emu_dynamic_shared() { return dynamic_shared; }

void emu_kernel(const char* name, EmuThunk thunk, const char* signature, unsigned most_threads) {
    if (kernel_count < MAX_KERNELS) kernels[kernel_count++] = {name, thunk, signature, most_threads, 0};
}

// ---- what Python calls ----

EMU_EXPORT const char* emu_kernel_name(int kernel) { return kernel < kernel_count ? kernels[kernel].name : nullptr; }

EMU_EXPORT const char* emu_kernel_signature(int kernel) { return kernels[kernel].signature; }

EMU_EXPORT int emu_shared_array(char* begin, unsigned size, int kernel) {
    if (shared_array_count == (int)(sizeof shared_arrays / sizeof *shared_arrays)) return 0;
    shared_arrays[shared_array_count++] = {begin, size, kernel};
    for (int k = 0; k < kernel_count; ++k)
        if (k == kernel || kernel < 0) kernels[k].shared += size;
    return 1;
}

// Null, or why the launch failed: text in which "{0x...}" stands for a place in the code.
EMU_EXPORT const char* emu_launch(int kernel, const unsigned* grid_size, const unsigned* block_size, unsigned dynamic,
                                  const char* packed_arguments, int thread_order, u64 seed, double seconds) {
    const Size grid = {grid_size[0], grid_size[1], grid_size[2]}, block = {block_size[0], block_size[1], block_size[2]};
    launched = &kernels[kernel];
    failed = false;
    if (!launch_is_legal(grid, block, dynamic)) return message;
    if (!fibers_make(fiber_main, (int)block.count())) return "there is no address space for the stacks of a block's threads";
    if (!count_launch(grid.count())) return "there is no memory to count the steps of so many blocks";
    if (unfinished) abandon();
    unfinished = true;
    arguments = packed_arguments;
    dynamic_size = dynamic;
    order = (Order)thread_order;
    random_state = seed * 2 + 88172645463325253ull;
    emu_grid_size = {grid.x, grid.y, grid.z};
    emu_block_size = {block.x, block.y, block.z};
    begin_launch(block);
    check_launch(kernel, dynamic);
    watch_begin(seconds);
    const u64 blocks = grid.count();
    // In random order block numbers go up by a step that has no factor in common with their count.
    u64 step = order == RANDOM ? random_bits() % blocks + 1 : 1;
    while (gcd(step, blocks) != 1) ++step;
    for (u64 done = 0, next = order == RANDOM ? random_bits() % blocks : 0; done < blocks && !failed; ++done) {
        const u64 at = order == REVERSE ? blocks - 1 - next : next;
        emu_block_index = {(unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y), (unsigned)(at / grid.x / grid.y)};
        run_block(kernel);
        count_block(at);
        next = (next + step) % blocks;
    }
    watch_end();
    if (failed) abandon();
    unfinished = false;
    return failed ? message : nullptr;
}
