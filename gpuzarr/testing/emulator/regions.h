// Memory that kernels may touch, by address, and what is known of each byte of it.
#pragma once
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>

#include "runtime.h"

namespace emu {

typedef u64 Cell;  // when: 32 bits, thread: 10, atomic: 1, place: 21, the offset of the code from `image`

struct Region {
    uintptr_t begin, end;
    Cell *write, *read, *last_read;  // one a byte
    unsigned char* known;            // initialised bytes; null: all. Of shared memory those written since the block began
    size_t mapped;                   // bytes taken for the above
    bool shared;
    int kernel;  // a shared array's; -1: any
    char tag[48];
};

static Region* regions;  // by address
static size_t region_count, region_room;
static Region* near[256];  // where the accesses of a place in the code were last

static Region* upper(uintptr_t address) {  // the first that begins after it
    return std::upper_bound(regions, regions + region_count, address,
                            [](uintptr_t a, const Region& r) { return a < r.begin; });
}

static void forget_near() { std::fill(near, near + 256, nullptr); }

static bool take_cells(Region& region, bool all_known) {
    const size_t n = region.end - region.begin;
    region.mapped = n * (3 * sizeof(Cell) + !all_known);
    const bool large = region.mapped >= 1 << 16;  // pages that are not touched cost nothing
    void* memory = large ? mmap(nullptr, region.mapped, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                         : calloc(region.mapped, 1);
    if (!memory || memory == MAP_FAILED) return false;
    region.write = (Cell*)memory;
    region.read = region.write + n;
    region.last_read = region.read + n;
    region.known = all_known ? nullptr : (unsigned char*)(region.last_read + n);
    return true;
}

static void drop_cells(Region& region) {
    if (region.mapped >= 1 << 16) munmap(region.write, region.mapped);
    else free(region.write);
}

// Null, or why not.
static const char* add(uintptr_t begin, size_t size, bool shared, bool known, int kernel, const char* tag) {
    Region region = {begin, begin + size, nullptr, nullptr, nullptr, nullptr, 0, shared, kernel, {}};
    strncpy(region.tag, tag, sizeof region.tag - 1);
    Region* at = upper(begin);
    if ((at > regions && at[-1].end > begin) || (at < regions + region_count && at->begin < region.end))
        return "it overlaps a buffer that is registered";
    const size_t index = (size_t)(at - regions);
    if (region_count == region_room) {
        const size_t room = region_room ? 2 * region_room : 64;
        Region* more = (Region*)realloc(regions, room * sizeof(Region));
        if (!more) return "there is no memory for it";
        regions = more;
        region_room = room;
    }
    if (!take_cells(region, shared || known)) return "there is no memory to watch it";
    memmove(regions + index + 1, regions + index, (region_count++ - index) * sizeof(Region));
    regions[index] = region;
    forget_near();
    return nullptr;
}

static Region* exactly(uintptr_t begin) {
    Region* at = upper(begin);
    return at > regions && at[-1].begin == begin ? at - 1 : nullptr;
}

static Region* around(uintptr_t begin, size_t size) {  // the buffer that has this range
    Region* const after = upper(begin);
    return after > regions && !after[-1].shared && begin + size <= after[-1].end ? after - 1 : nullptr;
}

}  // namespace emu
