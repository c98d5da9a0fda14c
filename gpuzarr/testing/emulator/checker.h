// The records that the checker hands to Python (traffic.py repeats them).
#pragma once
#include "runtime.h"

namespace emu {

struct LoggedAccess {
    uintptr_t address;
    uintptr_t place;         // of the code, as an offset into the library
    unsigned block;          // a number that no other block has
    unsigned short thread;
    unsigned char size;
    unsigned char kind;      // 1: writes, 2: shared memory
};

}  // namespace emu
