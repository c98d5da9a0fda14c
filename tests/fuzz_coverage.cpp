// One execution of fuzz_coverage.py: a stream is decoded by the emulated kernel and by the format's library, and compared.
//
// An input is a byte that says how (thread order, alignment, framing), three bytes for the room, and the stream. Room 0 is what
// the stream decodes to. Buffers have their exact size and lie between forbidden pages. Ends the process
// at an access outside them, at different bytes, and where a thread runs more steps than were promised. Where one accepts
// what the other refuses, the input is put aside for the model to judge, which knows what is refused on purpose.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime.h"

extern "C" char __start_emu_shared[], __stop_emu_shared[];
EMU_EXPORT int emu_shared_array(char* begin, unsigned size, int kernel);
EMU_EXPORT const char* emu_launch(int kernel, const unsigned* grid, const unsigned* block, unsigned dynamic, const char* packed,
                                  int order, emu::u64 seed, double seconds);

typedef unsigned char Byte;

namespace {

enum { MOST = 160 << 10, HEAD = 4 };

// What the first byte of an input says; fuzz_coverage.py has it, too.
struct How {
    unsigned order, framing, shift;
    bool last;  // buffers end at a forbidden page, not begin at one
    explicit How(Byte byte) : order(byte % 3), framing(0), shift(byte / 48), last(byte / 3 & 1) {
        const unsigned kind = byte / 6 & 7;
        if (FRAMINGS > 1 && kind > 5) framing = kind - 5;
    }
};

[[noreturn]] void stop(const char* why) {
    fprintf(stderr, "FOUND: %s\n", why);
    abort();
}

// ---- what the library says ---------------------------------------------------------------------------------------------

void* symbol(const char* name) {
    static void* const library = dlopen(LIBRARY, RTLD_NOW);
    void* const found = library ? dlsym(library, name) : nullptr;
    if (!found) stop("no " LIBRARY ", or not all functions in it");
    return found;
}

Byte expected[MOST];

#if defined(OF_ZSTD)
// Bytes decoded, or -1.
long decode(const Byte* data, size_t size, size_t room, unsigned) {
    static const auto decompress = (size_t(*)(void*, size_t, const void*, size_t))symbol("ZSTD_decompress");
    static const auto is_error = (unsigned (*)(size_t))symbol("ZSTD_isError");
    if (size < 4 || data[0] != 0x28) return -1;  // a skippable frame, or one of before 1.0
    const size_t n = decompress(expected, room, data, size);
    return is_error(n) ? -1 : (long)n;
}

size_t blocks(const Byte* data, size_t size) {  // step_bounds.py: zstd_blocks
    if (size < 5) return 0;
    const unsigned flags = data[4], keys[4] = {0, 1, 2, 4}, widths[4] = {flags >> 5 & 1, 2, 4, 8};
    size_t at = 6 - (flags >> 5 & 1) + keys[flags & 3] + widths[flags >> 6], count = 0;
    for (unsigned last = 0; !last && at + 3 <= size; ++count) {
        const unsigned word = data[at] | data[at + 1] << 8 | data[at + 2] << 16;
        last = word & 1;
        at += 3 + ((word >> 1 & 3) == 1 ? 1 : word >> 3);
    }
    return count;
}
#else
struct Stream {  // zlib's z_stream
    const Byte* next_in;
    unsigned avail_in;
    unsigned long total_in;
    Byte* next_out;
    unsigned avail_out;
    unsigned long total_out;
    const char* msg;
    void *state, *allocate, *release, *opaque;
    int data_type;
    unsigned long adler, reserved;
};
// Bytes decoded, or -1. Of gzip all members, between which zeros may stand, as Python's gzip has it.
long decode(const Byte* data, size_t size, size_t room, unsigned framing) {
    static const auto init = (int (*)(Stream*, int, const char*, int))symbol("inflateInit2_");
    static const auto reset = (int (*)(Stream*, int))symbol("inflateReset2");
    static const auto inflate = (int (*)(Stream*, int))symbol("inflate");
    static Stream stream;
    const int windows[3] = {-15, 15, 31};
    if (!stream.state && init(&stream, -15, "1.2", sizeof stream)) stop("zlib does not begin");
    stream.next_in = data;
    stream.avail_in = (unsigned)size;
    stream.next_out = expected;
    stream.avail_out = (unsigned)room;
    do {
        reset(&stream, windows[framing]);
        if (inflate(&stream, 4 /* Z_FINISH */) != 1) return -1;
        while (framing == 2 && stream.avail_in && !*stream.next_in) ++stream.next_in, --stream.avail_in;
    } while (framing == 2 && stream.avail_in);
    return (long)(room - stream.avail_out);
}

size_t blocks(const Byte*, size_t size) { return size / 6; }  // step_bounds.py: deflate_blocks
#endif

// ---- buffers of exact sizes --------------------------------------------------------------------------------------------

struct Guarded {  // pages between two that may not be touched
    Byte *begin, *end;
    explicit Guarded(size_t size) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (size + page - 1) / page * page;
        Byte* const memory = (Byte*)mmap(nullptr, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory + page, whole, PROT_READ | PROT_WRITE)) stop("no memory");
        begin = memory + page;
        end = begin + whole;
    }
    Byte* place(size_t size, bool last, unsigned shift) {
        return last ? end - size : begin + shift;
    }
};

// ---- steps -------------------------------------------------------------------------------------------------------------

emu::u64 steps[emu::MAX_THREADS];
__attribute__((section("__libfuzzer_extra_counters"))) Byte counters[64];

emu::u64 most_steps() {
    emu::u64 most = 0;
    for (emu::u64& each : steps) {
        if (each > most) most = each;
        each = 0;
    }
    return most;
}

// ---- what is told ------------------------------------------------------------------------------------------------------

emu::u64 runs, accepted, aside, worst;

void put_aside(const Byte* data, size_t size, size_t room) {
    const Byte head[HEAD] = {data[0], (Byte)room, (Byte)(room >> 8), (Byte)(room >> 16)};  // as it was, if it was 0 in the input
    char path[512];
    snprintf(path, sizeof path, "%s/%d-%llu", ASIDE, (int)getpid(), aside++);
    FILE* const file = fopen(path, "wb");
    if (!file || fwrite(head, 1, HEAD, file) != HEAD || fwrite(data + HEAD, 1, size - HEAD, file) != size - HEAD || fclose(file)) stop("nothing can be put aside in " ASIDE);
}

void tell() {
    fprintf(stderr, "TOLD: %llu runs, %llu accepted, %llu put aside, at most %llu thousandths of the steps promised\n", runs,
            accepted, aside, worst);
}

void begin() {
    static bool begun;
    if (begun) return;
    begun = true;
    const unsigned size = (unsigned)(__stop_emu_shared - __start_emu_shared);
    emu_shared_array(__start_emu_shared, size, -1);
    atexit(tell);
}

struct Columns {
    emu::u64 src, size, dst, room;
    int status[2];
};

int launch(Columns& columns, const How& how) {
    const emu::u64 address = (emu::u64)&columns;
    const emu::u64 all[7] = {how.framing, address, address + 8, address + 16, address + 24, address + 32, 1};
    const unsigned one[3] = {1, 1, 1}, block[3] = {THREADS, 1, 1};
    const char* const wrong = emu_launch(0, one, block, 0, (const char*)(all + (FRAMINGS == 1)), (int)how.order, runs, 60);
    if (wrong) stop(wrong);
    if (columns.status[1]) stop("a status of no stream is written");
    return columns.status[0];
}

bool unchanged(const Byte* begin, const Byte* end) {
    for (; begin < end; ++begin)
        if (*begin != 0x5A) return false;
    return true;
}

}  // namespace

extern "C" void emu_step() {
    if (emu::running) ++steps[emu::running->id];
}

extern "C" int LLVMFuzzerTestOneInput(const Byte* data, size_t size) {
    static Guarded source(MOST), target(MOST + 4096);
    begin();
    if (size < HEAD || size > MOST / 2) return -1;
    const How how(data[0]);
    const Byte* const stream = data + HEAD;
    const size_t length = size - HEAD;
    size_t room = data[1] | data[2] << 8 | data[3] << 16;
    if (room > MOST) return -1;
    long decoded = decode(stream, length, room ? room : (size_t)MOST, how.framing);
    if (!room) room = decoded > 0 ? (size_t)decoded : 64;
    Byte* const from = source.place(length, how.last, how.shift);
    Byte* const to = target.place(room, how.last, (5 * how.shift + 3) & 15);
    memcpy(from, stream, length);
    memset(to, 0x5A, room);
    Byte* const before = to - target.begin < 256 ? target.begin : to - 256;
    Byte* const after = target.end - (to + room) < 256 ? target.end : to + room + 256;
    memset(before, 0x5A, (size_t)(to - before));
    memset(to + room, 0x5A, (size_t)(after - to) - room);
    Columns columns = {(emu::u64)from, length, (emu::u64)to, room, {0, 0}};
    const int status = launch(columns, how);
    ++runs;
    if (memcmp(from, stream, length)) stop("the input has changed");
    if (!unchanged(before, to) || !unchanged(to + room, after)) stop("bytes around the output have changed");
    const emu::u64 part = most_steps() * 1000 / (STEPS_A_BYTE * (length + room) + STEPS_A_BLOCK * (blocks(stream, length) + 1));
    if (part > worst) worst = part;
    if (part > 1000) stop("a thread runs more steps than promised");
    for (unsigned k = 0; k < 40; ++k) counters[k] = part > 25 * k;  // what runs longer for its size is worth keeping
    counters[40 + (status & 7)] = 1;
    const bool right = decoded == (long)room;
    accepted += status == 0;
    if (status == 0 && right && memcmp(to, expected, room)) stop("the kernel decodes to other bytes than the library");
    if (right != (status == 0)) put_aside(data, size, room);
    if (!(runs & 0xfffff)) tell();
    return 0;
}
