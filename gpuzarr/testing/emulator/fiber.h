// Stacks that take turns on one thread of the host. A fiber that ended is taken again, so a launch makes none as a rule.
#pragma once
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime.h"

// Saves what a called function must keep, and the stack pointer in *from; goes on where `to` was saved.
extern "C" EMU_HIDDEN void emu_switch(void** from, void* to);

namespace emu {

struct Fiber {
    void* stack_pointer;
    char* stack;  // STACK bytes above a page that may not be touched
    Thread* thread;
    Fiber* next;  // in the list of those that are free
};

#if defined(__x86_64__)
asm(R"(
    .text
    .globl emu_switch
    .hidden emu_switch
    .type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emu_switch, . - emu_switch
)");
static void* first_frame(char* top, void (*entry)()) {
    void** frame = (void**)top;  // aligned to 16; a function begins 8 below that
    *--frame = nullptr;          // where `entry` would return to
    *--frame = (void*)entry;
    for (int i = 0; i < 6; ++i) *--frame = nullptr;
    return frame;
}
#elif defined(__aarch64__)  // written after the procedure call standard; not run yet
asm(R"(
    .text
    .globl emu_switch
    .hidden emu_switch
    .type emu_switch, %function
emu_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size emu_switch, . - emu_switch
)");
static void* first_frame(char* top, void (*entry)()) {
    void** frame = (void**)(top - 160);
    for (int i = 0; i < 20; ++i) frame[i] = nullptr;
    frame[11] = (void*)entry;  // x30: where `ret` goes
    return frame;
}
#else
#error "the emulator switches stacks on x86-64 and aarch64 only"
#endif

static Fiber fibers[MAX_THREADS];
static Fiber* free_fibers;

static void fiber_put(Fiber* fiber) {
    fiber->next = free_fibers;
    free_fibers = fiber;
}

static Fiber* fiber_get() {
    Fiber* const fiber = free_fibers;
    free_fibers = fiber->next;
    return fiber;
}

static int opened_fibers = 0;

// Whatever the fibers were doing is forgotten. The first is the next to be taken.
static void fibers_reset(void (*entry)()) {
    free_fibers = nullptr;
    for (int i = opened_fibers; i--;) {
        fibers[i].stack_pointer = first_frame(fibers[i].stack + STACK, entry);
        fiber_put(&fibers[i]);
    }
}

// The stacks of `count` fibers and of those before: address space, which takes memory where it is touched. A process may
// have some ten thousand mappings, and every stack and every guard before one is one: so those that no launch of this
// library has needed yet stay closed, as one piece.
static bool fibers_make(void (*entry)(), int count) {
    const size_t guard = (size_t)sysconf(_SC_PAGESIZE), step = guard + STACK;
    if (!fibers[0].stack) {
        char* const memory = (char*)mmap(nullptr, step * MAX_THREADS, PROT_NONE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return false;
        for (int i = 0; i < MAX_THREADS; ++i) fibers[i].stack = memory + i * step + guard;
    }
    const bool more = opened_fibers < count;
    for (; opened_fibers < count; ++opened_fibers)
        if (mprotect(fibers[opened_fibers].stack, STACK, PROT_READ | PROT_WRITE)) return false;
    if (more) fibers_reset(entry);
    return true;
}

}  // namespace emu
