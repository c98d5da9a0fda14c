// What a warp's collectives give their lanes, once all have come (CUDA C++ Programming Guide, Warp Vote and Warp Shuffle
// Functions), and which masks are no masks.
#pragma once
#include "runtime.h"

namespace emu {

struct Warp {  // bits are lanes
    unsigned exists, runnable, waiting, done;
};

static unsigned shuffle_source(const Thread& thread) {
    const unsigned lane = thread.id % 32, width = thread.width, first = lane & ~(width - 1);
    switch (thread.op) {
        case EMU_SHFL: return first + (thread.operand & (width - 1));
        case EMU_SHFL_UP: return thread.operand > lane - first ? lane : lane - thread.operand;
        case EMU_SHFL_DOWN: return thread.operand >= first + width - lane ? lane : lane + thread.operand;
        default: {  // EMU_SHFL_XOR: from this group or an earlier one
            const unsigned source = lane ^ thread.operand;
            return source >= first + width ? lane : source;
        }
    }
}

static void complete_shuffle(Thread* lanes, unsigned mask) {
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        Thread& thread = lanes[__builtin_ctz(rest)];
        const unsigned source = shuffle_source(thread);
        if (!(mask >> source & 1)) {
            running = &thread;
            fail(thread.site, nullptr, "a shuffle reads lane %u, which is not in its mask 0x%08x", source, mask);
        }
        memcpy(thread.out, lanes[source].in, thread.size);
    }
}

static void complete_vote(Thread* lanes, unsigned mask, EmuOp op) {
    unsigned ballot = 0;
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        const unsigned lane = (unsigned)__builtin_ctz(rest);
        ballot |= *(const unsigned*)lanes[lane].in << lane;
    }
    const unsigned result = op == EMU_BALLOT ? ballot : op == EMU_ANY ? ballot != 0 : ballot == mask;
    for (unsigned rest = mask; rest; rest &= rest - 1) *(unsigned*)lanes[__builtin_ctz(rest)].out = result;
}

static bool all_there(const Warp& warp, const Thread* lanes, const Thread& last) {
    if ((warp.waiting & last.mask) != last.mask) return false;
    for (unsigned rest = last.mask; rest; rest &= rest - 1) {
        const Thread& thread = lanes[__builtin_ctz(rest)];
        if (thread.site != last.site || thread.mask != last.mask) return false;
    }
    return true;
}

static void check_mask(const EmuSite* site, const Warp& warp, unsigned lane, unsigned mask, unsigned width) {
    if (!(mask >> lane & 1)) fail(site, nullptr, "a warp collective is called by a lane not in its mask 0x%08x", mask);
    if (mask & ~warp.exists)
        fail(site, nullptr, "a warp collective of lanes 0x%08x names lane %d, which does not exist", mask,
             __builtin_ctz(mask & ~warp.exists));
    if (mask & warp.done)
        fail(site, nullptr, "a warp collective of lanes 0x%08x names lane %d, which has exited", mask,
             __builtin_ctz(mask & warp.done));
    if (!width || width > 32 || width & (width - 1)) fail(site, nullptr, "a shuffle of width %u", width);
}

}  // namespace emu
