// Counts how often each piece of straight code of a kernel ran, and how many a thread ran: the hook that
// -fsanitize-coverage=trace-pc calls.
#include <algorithm>

#include <stdlib.h>

#include "runtime.h"

using namespace emu;

namespace {

struct Count {
    uintptr_t place;  // where the hook returned to
    u64 times;
};
Count counts[1 << 16];  // a hash table; kernels have thousands of pieces
u64 steps[MAX_THREADS];  // pieces that each thread of the block ran
u64* most_steps;         // for each block of the launch, those of the thread that ran the most
u64 block_count;

Count* slot(uintptr_t place) {
    const size_t mask = sizeof counts / sizeof *counts - 1;
    size_t at = place * 0x9E3779B97F4A7C15ull >> 48;
    for (size_t tries = 0; tries <= mask; ++tries, at = (at + 1) & mask)
        if (!counts[at].place || counts[at].place == place) return &counts[at];
    return nullptr;
}

}  // namespace

extern "C" EMU_HIDDEN void __sanitizer_cov_trace_pc() {
    const uintptr_t place = (uintptr_t)__builtin_return_address(0);
    if (!running) return;
    Busy self((const void*)place);
    Count* const count = slot(place);
    if (!count) fail(nullptr, (const void*)place, "more pieces of code than there is room to count");
    count->place = place;
    ++count->times;
    ++steps[running->id];
}

bool emu::count_launch(u64 blocks) {
    u64* const more = (u64*)realloc(most_steps, blocks * sizeof *most_steps);
    if (!more) return false;
    most_steps = more;
    block_count = blocks;
    std::fill(most_steps, most_steps + blocks, 0);
    std::fill(steps, steps + MAX_THREADS, 0);
    return true;
}

void emu::count_block(u64 block) {
    most_steps[block] = *std::max_element(steps, steps + MAX_THREADS);
    std::fill(steps, steps + MAX_THREADS, 0);
}

EMU_EXPORT u64 emu_count(uintptr_t place) {
    const Count* const count = slot(place);
    return count ? count->times : 0;
}

// How many blocks the last launch had; for as many as there is room for, their steps are written.
EMU_EXPORT u64 emu_steps(u64* found, u64 room) {
    std::copy(most_steps, most_steps + std::min(room, block_count), found);
    return block_count;
}
