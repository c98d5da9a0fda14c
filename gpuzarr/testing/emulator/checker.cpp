// Looks at every access of a kernel to memory: the hooks that -fsanitize=thread calls, without its runtime.
//
// Registered buffers and shared arrays are regions. Each byte of a region has cells that say who wrote and read it last,
// and when. Time is a counter that ticks at each launch, block, barrier and __syncwarp; since blocks run one after another
// it also tells the block. Two accesses of which one writes race unless they are by one thread, are both atomic, or one
// was before a synchronisation that both threads took part in. Shuffles and votes order no memory (CUDA C++ Programming
// Guide, Warp Shuffle Functions), and nothing orders two blocks of a launch.
//
// A thread's own stack is not looked at, nor reads of the library's own constants. Two readers are remembered for each
// byte, the first and the last: a race with a third only is missed.
#include "checker.h"

#include <link.h>

#include "regions.h"

extern "C" EMU_HIDDEN __attribute__((weak)) char __start_emu_shared[], __stop_emu_shared[];  // the linker's

using namespace emu;

namespace {

struct Synced {  // what a lane has seen of the others of its warp
    bool partly;               // a __syncwarp of some lanes came after the last of all
    unsigned all;              // the time of that one
    unsigned seen[32][32];     // [lane][other], where `partly`
};

unsigned now = 1, launch_began, block_began, barrier_at;
Synced synced[MAX_WARPS];
int kernel_number;
uintptr_t image, image_end;
LoggedAccess* traffic;
size_t traffic_count, traffic_room;

int locate_image(dl_phdr_info* info, size_t, void*) {
    uintptr_t end = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; ++i)
        if (info->dlpi_phdr[i].p_type == PT_LOAD)
            end = std::max(end, (uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz));
    const uintptr_t inside = (uintptr_t)&image;
    if (inside < info->dlpi_addr || inside >= end) return 0;
    image = info->dlpi_addr;
    image_end = end;
    return 1;
}

// ---- findings ----

const char* kind(const Region& region) { return region.shared ? "shared" : "global"; }

bool in_shared(uintptr_t address) {
    const uintptr_t begin = (uintptr_t)__start_emu_shared, dynamic = (uintptr_t)dynamic_shared;
    return address - begin < (uintptr_t)__stop_emu_shared - begin || address - dynamic < MAX_SHARED;
}

bool in_image(uintptr_t address) { return address - image < image_end - image && !in_shared(address); }

bool may_touch(const Region& region) { return region.kernel < 0 || region.kernel == kernel_number; }

[[noreturn]] void fail_outside(uintptr_t address, size_t size, const char* verb, const void* place) {
    if (in_image(address))
        fail(nullptr, place, "%s of %zu bytes in a static variable (a __shared__ array not in the kernel's body?)", verb, size);
    const Region *after = upper(address), *before = after, *end = regions + region_count;
    while (after < end && !may_touch(*after)) ++after;
    while (before > regions && !may_touch(before[-1])) --before;
    const size_t far = 65536;
    const size_t past = before > regions ? address - before[-1].end : far;
    const size_t short_of = after < end ? after->begin - address : far;
    if (past >= far && short_of >= far)
        fail(nullptr, place, "%s of %zu bytes at %p, which is in no buffer", verb, size, (void*)address);
    const Region& region = past <= short_of ? before[-1] : *after;
    fail(nullptr, place, "%s of %zu bytes out of bounds, %zu bytes %s %s '%s' of %zu bytes", verb, size,
         past <= short_of ? past : short_of, past <= short_of ? "past the end of" : "before", kind(region), region.tag,
         (size_t)(region.end - region.begin));
}

[[noreturn]] void fail_race(const Region& region, size_t offset, Cell other, const char* what, const void* place) {
    const unsigned thread = (unsigned)(other >> 22) & 1023;
    const char* block = (other >> 32) >= block_began ? "this block" : "another block";
    fail(nullptr, place, "%s race on %s '%s' offset %zu (the other: thread number %u of %s at {%p})", what, kind(region),
         region.tag, offset, thread, block, (const void*)(image + (other & 0x1fffff)));
}

// ---- what is ordered before the running thread ----

inline unsigned when(Cell cell) { return (unsigned)(cell >> 32); }
inline unsigned who(Cell cell) { return (unsigned)(cell >> 22) & 1023; }
inline bool atomic(Cell cell) { return cell >> 21 & 1; }

// Not asked of a cell from before the launch, nor, in shared memory, from before the block.
inline bool ordered(Cell cell) {
    if (when(cell) < block_began) return false;
    const unsigned me = running->id, other = who(cell);
    if (other == me || when(cell) < barrier_at) return true;
    if (other / 32 != me / 32) return false;
    const Synced& warp = synced[me / 32];
    return when(cell) < (warp.partly ? warp.seen[me % 32][other % 32] : warp.all);
}

// ---- one access ----

struct Access {
    uintptr_t address;
    size_t size;
    bool write, atomic, aligned;
    const void* place;
};

const char* verb(const Access& access) { return access.atomic ? "atomic" : access.write ? "write" : "read"; }

Region* find(const Access& access) {
    const uintptr_t address = access.address;
    if (address - (uintptr_t)running_stack < STACK) return nullptr;
    Region* at = upper(address);
    if (at > regions && address < at[-1].end && may_touch(at[-1])) return at - 1;
    if (access.write || !in_image(address)) fail_outside(address, access.size, verb(access), access.place);
    return nullptr;
}

void must_fit(const Region& region, const Access& access) {
    const size_t offset = access.address - region.begin, size = region.end - region.begin;
    if (access.address + access.size > region.end)
        fail(nullptr, access.place, "%s of %zu bytes out of bounds, at offset %zu of %s '%s' of %zu bytes", verb(access),
             access.size, offset, kind(region), region.tag, size);
    if (access.aligned && access.address & (access.size - 1))
        fail(nullptr, access.place, "misaligned %s of %zu bytes at offset %zu of %s '%s', address %p", verb(access),
             access.size, offset, kind(region), region.tag, (void*)access.address);
}

void must_be_known(const Region& region, const Access& access) {
    if (!region.shared && !region.known) return;
    const size_t first = access.address - region.begin;
    for (size_t i = first; i < first + access.size; ++i)
        if (region.shared ? when(region.write[i]) < block_began : !region.known[i])
            fail(nullptr, access.place, "read of uninitialised %s memory, offset %zu of '%s'", kind(region), i, region.tag);
}

inline Cell floor_of(const Region& region) { return (Cell)(region.shared ? block_began : launch_began) << 32; }

inline void note_read(Region& region, size_t i, Cell me, const Access& access) {
    const Cell floor = floor_of(region);
    const Cell written = region.write[i];
    if (written >= floor && !ordered(written)) fail_race(region, i, written, "read-after-write", access.place);
    const Cell reader = region.read[i];
    if (reader < floor || ordered(reader)) region.read[i] = me;
    else region.last_read[i] = me;
}

inline void note_write(Region& region, size_t i, Cell me, const Access& access) {
    const Cell floor = floor_of(region);
    const Cell written = region.write[i], first = region.read[i], last = region.last_read[i];
    if (written >= floor && !ordered(written) && !(access.atomic && atomic(written)))
        fail_race(region, i, written, "write-after-write", access.place);
    if (first >= floor && !ordered(first)) fail_race(region, i, first, "write-after-read", access.place);
    if (last >= floor && !ordered(last)) fail_race(region, i, last, "write-after-read", access.place);
    region.write[i] = me;
    if (region.known) region.known[i] = 1;
}

void log_traffic(const Region& region, const Access& access) {
    if (traffic_count < traffic_room)
        traffic[traffic_count] = {access.address, (uintptr_t)access.place - image, block_began, (unsigned short)running->id,
                                  (unsigned char)access.size, (unsigned char)(access.write | region.shared << 1)};
    ++traffic_count;
}

inline void look(const Access& access) {
    if (!running || !access.size) return;  // constructors, when the library is loaded
    Region*& nearest = near[(uintptr_t)access.place >> 1 & 255];
    if (!nearest || access.address - nearest->begin >= nearest->end - nearest->begin) {
        Region* found = find(access);
        if (!found) return;
        nearest = found;
    }
    Region& region = *nearest;
    must_fit(region, access);
    if (!access.write || access.atomic) must_be_known(region, access);
    const uintptr_t place = (uintptr_t)access.place - image;
    const Cell me = (Cell)now << 32 | (Cell)running->id << 22 | (Cell)access.atomic << 21 | (place < 1 << 21 ? place : 0);
    const size_t first = access.address - region.begin;
    if (access.write) for (size_t i = first; i < first + access.size; ++i) note_write(region, i, me, access);
    else for (size_t i = first; i < first + access.size; ++i) note_read(region, i, me, access);
    if (traffic && access.size <= 16) log_traffic(region, access);
}

}  // namespace

// ---- what the runtime says ----

void emu::check_launch(int kernel, unsigned dynamic) {
    kernel_number = kernel;
    if (now > 1u << 31) {  // cells of long ago would look new
        for (size_t r = 0; r < region_count; ++r)
            memset(regions[r].write, 0, 3 * sizeof(Cell) * (regions[r].end - regions[r].begin));
        now = 1;
    }
    launch_began = ++now;
    Region* own = exactly((uintptr_t)dynamic_shared);
    if (own) own->end = own->begin + dynamic;
    forget_near();
}

void emu::check_block() {
    block_began = barrier_at = ++now;
    for (Synced& warp : synced) {
        warp.partly = false;
        warp.all = now;
    }
}

void emu::check_barrier() { barrier_at = ++now; }

void emu::check_warp_sync(unsigned number, unsigned mask, unsigned exists) {
    Synced& warp = synced[number];
    ++now;
    if (mask == exists) {
        warp.partly = false;
        warp.all = now;
        return;
    }
    if (!warp.partly) std::fill(&warp.seen[0][0], &warp.seen[0][0] + 32 * 32, warp.all);
    warp.partly = true;
    unsigned joined[32] = {};
    for (unsigned lane = 0; lane < 32; ++lane)
        for (unsigned other = 0; other < 32 && mask >> lane & 1; ++other)
            joined[other] = std::max(joined[other], warp.seen[lane][other]);
    for (unsigned lane = 0; lane < 32; ++lane)
        if (mask >> lane & 1) joined[lane] = now;
    for (unsigned lane = 0; lane < 32; ++lane)
        if (mask >> lane & 1) std::copy(joined, joined + 32, warp.seen[lane]);
}

// ---- what the shim says ----

void emu_atomic(const void* address, unsigned size, const void* place) {
    Busy self(place);
    look({(uintptr_t)address, size, true, true, true, place});
}

void* emu_memcpy(void* to, const void* from, size_t size) {
    Busy self(__builtin_return_address(0));
    look({(uintptr_t)from, size, false, false, false, self.place});
    look({(uintptr_t)to, size, true, false, false, self.place});
    return memmove(to, from, size);
}

void* emu_memset(void* to, int value, size_t size) {
    Busy self(__builtin_return_address(0));
    look({(uintptr_t)to, size, true, false, false, self.place});
    return memset(to, value, size);
}

// ---- what the compiler says ----

#define HOOK extern "C" EMU_HIDDEN
#define HOOKS_OF(name, n, write, aligned)                                        \
    HOOK void __tsan_##name##n(void* address) {                                  \
        Busy self(__builtin_return_address(0));                                  \
        look({(uintptr_t)address, n, write, false, aligned, self.place});        \
    }
#define HOOKS(n)                                \
    HOOKS_OF(read, n, false, true)              \
    HOOKS_OF(write, n, true, true)              \
    HOOKS_OF(unaligned_read, n, false, false)   \
    HOOKS_OF(unaligned_write, n, true, false)
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
HOOK void __tsan_read_range(void* address, unsigned long size) {
    Busy self(__builtin_return_address(0));
    look({(uintptr_t)address, size, false, false, false, self.place});
}
HOOK void __tsan_write_range(void* address, unsigned long size) {
    Busy self(__builtin_return_address(0));
    look({(uintptr_t)address, size, true, false, false, self.place});
}
HOOK void* __tsan_memcpy(void* to, const void* from, size_t size) {  // clang's: a struct is copied
    Busy self(__builtin_return_address(0));
    const bool whole = size <= 16 && !(size & (size - 1));
    look({(uintptr_t)from, size, false, false, whole, self.place});
    look({(uintptr_t)to, size, true, false, whole, self.place});
    return memmove(to, from, size);
}
HOOK void* __tsan_memset(void* to, int value, size_t size) { return emu_memset(to, value, size); }
HOOK void* __tsan_memmove(void* to, const void* from, size_t size) { return emu_memcpy(to, from, size); }
HOOK void __tsan_func_entry(void*) {}
HOOK void __tsan_func_exit() {}
HOOK void __tsan_init() {}
HOOK void __tsan_vptr_update(void**, void*) {}

// ---- what Python says ----

EMU_EXPORT const char* emu_register(uintptr_t begin, size_t size, int initialised, const char* tag) {
    return add(begin, size, false, initialised, -1, tag);
}

EMU_EXPORT int emu_unregister(uintptr_t begin) {
    Region* region = exactly(begin);
    if (!region || region->shared) return 0;
    drop_cells(*region);
    memmove(region, region + 1, (size_t)(regions + --region_count - region) * sizeof(Region));
    forget_near();
    return 1;
}

EMU_EXPORT int emu_initialise(uintptr_t begin, size_t size) {
    Region* const region = around(begin, size);
    if (region && region->known) memset(region->known + (begin - region->begin), 1, size);
    return region != nullptr;
}

// The first byte that was not written, or -1; of a range that is not within one buffer -2.
EMU_EXPORT long long emu_first_unknown(uintptr_t begin, size_t size) {
    const Region* const region = around(begin, size);
    if (!region || !region->known) return region ? -1 : -2;
    const unsigned char* known = region->known + (begin - region->begin);
    const void* unknown = memchr(known, 0, size);
    return unknown ? (const unsigned char*)unknown - known : -1;
}

EMU_EXPORT const char* emu_watch_shared(char* begin, unsigned size, int kernel, const char* tag) {
    if (!image) dl_iterate_phdr(locate_image, nullptr);
    return add((uintptr_t)begin, size, true, false, kernel, tag);
}

EMU_EXPORT const char* emu_watch_dynamic() { return emu_watch_shared(dynamic_shared, MAX_SHARED, -1, "dynamic shared"); }

// Accesses are written down into `log` (room of them) until it is null. The count of those that came since.
EMU_EXPORT size_t emu_traffic(LoggedAccess* log, size_t room) {
    const size_t came = traffic_count;
    traffic = log;
    traffic_room = room;
    traffic_count = 0;
    return came;
}
