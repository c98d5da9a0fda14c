// Counts how often each piece of straight code of a kernel ran: the hook that -fsanitize-coverage=trace-pc calls.
#include "runtime.h"

using namespace emu;

namespace {

struct Count {
    uintptr_t place;  // where the hook returned to
    u64 times;
};
Count counts[1 << 16];  // a hash table; kernels have thousands of pieces

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
}

EMU_EXPORT u64 emu_count(uintptr_t place) {
    const Count* const count = slot(place);
    return count ? count->times : 0;
}
