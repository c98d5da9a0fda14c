// Every collective and intrinsic of the emulator, called with what a test gives it.

template <class T>
__device__ void shuffled(const T* in, const unsigned* operand, T* out, unsigned op, unsigned width, unsigned mask) {
    const unsigned lane = threadIdx.x & 31;
    if (!(mask >> lane & 1)) return;
    T value = in[threadIdx.x];
    const unsigned by = operand[threadIdx.x];
    if (op == 0) value = __shfl_sync(mask, value, by, width);
    else if (op == 1) value = __shfl_up_sync(mask, value, by, width);
    else if (op == 2) value = __shfl_down_sync(mask, value, by, width);
    else value = __shfl_xor_sync(mask, value, by, width);
    out[threadIdx.x] = value;
}
extern "C" __global__ void shuffle4(const unsigned* in, const unsigned* operand, unsigned* out, unsigned op, unsigned width,
                                    unsigned mask) {
    // Lanes out of the mask wait here: one that has exited may not be in a later mask.
    shuffled(in, operand, out, op, width, mask);
    __syncwarp();
}
extern "C" __global__ void shuffle8(const unsigned long long* in, const unsigned* operand, unsigned long long* out, unsigned op,
                                    unsigned width, unsigned mask) {
    shuffled(in, operand, out, op, width, mask);
    __syncwarp();
}

extern "C" __global__ void votes(const int* in, unsigned* out, unsigned mask) {
    const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (!(mask >> (thread & 31) & 1)) return;
    out[3 * thread] = __ballot_sync(mask, in[thread]);
    out[3 * thread + 1] = __any_sync(mask, in[thread]);
    out[3 * thread + 2] = __all_sync(mask, in[thread]);
}

extern "C" __global__ void barrier_votes(const int* in, int* out, unsigned stay) {
    const unsigned thread = threadIdx.x;
    if (thread >= stay) return;  // a barrier waits for those that are left
    out[3 * thread] = __syncthreads_count(in[thread]);
    out[3 * thread + 1] = __syncthreads_and(in[thread]);
    out[3 * thread + 2] = __syncthreads_or(in[thread]);
}

extern "C" __global__ void integers(const unsigned* a, const unsigned* b, unsigned* out, unsigned n) {
    const unsigned i = threadIdx.x;
    const unsigned x = a[i], y = b[i];
    const unsigned long long wide = (unsigned long long)y << 32 | x;
    unsigned* column = out + i;
    const unsigned values[] = {
        __byte_perm(x, y, x ^ y), (unsigned)__popc(x), (unsigned)__clz((int)x), (unsigned)__ffs((int)x), __brev(x),
        __umulhi(x, y), __funnelshift_l(x, y, y), __funnelshift_r(x, y, y), (unsigned)__popcll(wide),
        (unsigned)__clzll((long long)wide), (unsigned)__ffsll((long long)wide), (unsigned)(__brevll(wide) >> 32),
        (unsigned)(__umul64hi(wide, wide) >> 32), min(x, y), max(x, y),
    };
    for (unsigned k = 0; k < sizeof values / sizeof *values; ++k) column[k * n] = values[k];
}

extern "C" __global__ void atomics(const int* in, int* out, int* olds) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    olds[i] = atomicAdd(out, in[i]);
    atomicSub(out + 1, in[i]);
    atomicMin(out + 2, in[i]);
    atomicMax(out + 3, in[i]);
    atomicAnd(out + 4, in[i]);
    atomicOr(out + 5, in[i]);
    atomicXor(out + 6, in[i]);
    atomicExch(out + 7, in[i]);
    atomicCAS(out + 8, -1, in[i]);
}

extern "C" __global__ void turns(unsigned* next, unsigned* order) {  // who runs when
    order[atomicAdd(next, 1u)] = blockIdx.x * blockDim.x + threadIdx.x;
}

extern "C" __global__ void indices(unsigned* out) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] += 1;
}

extern "C" __global__ void every_type(signed char a, unsigned char b, short c, unsigned short d, int e, unsigned f, long long g,
                                      unsigned long long h, float i, double j, double* out) {
    const double values[] = {(double)a, (double)b, (double)c, (double)d, (double)e, (double)f, (double)g, (double)h, i, j};
    for (int k = 0; k < 10; ++k) out[k] = values[k];
}

extern "C" __global__ void sum_of_block(const int* in, int* out, int n) {  // shuffles, shared memory, barriers and an atomic
    __shared__ int parts[32];
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    int value = i < n ? in[i] : 0;
    for (int step = 16; step; step >>= 1) value += __shfl_down_sync(0xffffffffu, value, step);
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = value;
    __syncthreads();
    if (threadIdx.x < 32) {
        value = threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0;
        for (int step = 16; step; step >>= 1) value += __shfl_xor_sync(0xffffffffu, value, step);
        if (threadIdx.x == 0) atomicAdd(out, value);
    }
}
