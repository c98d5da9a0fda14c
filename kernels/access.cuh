// Loads and stores that are global whatever a compiler knows of the pointer, and as wide as they are written: pointers
// that are made of numbers, or that several types are read through, lose what GZ_ASSUME_GLOBAL says of them.
//
// What gz_get reads, no thread of the launch writes: it goes by the read-only way.
#pragma once
#include "common.cuh"

#if defined(GZ_HIP) || defined(GZ_EMULATED)
#define gz_get(p) (*(p))
#define gz_put(p, v) ((void)(*(p) = (v)))
#else
#define gz_get(p) __ldg(p)
#define gz_put(p, v) __stcg((p), (v))
#endif
