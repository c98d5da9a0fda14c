// Kernels with one fault each, in the line marked so, and beside each the same kernel without it.
typedef unsigned char byte;

extern "C" __global__ void write_past_the_end(byte* out, unsigned n) {
    const unsigned i = threadIdx.x;
    if (i <= n) out[i] = 1;  // FAULT write_past_the_end
}
extern "C" __global__ void read_past_the_end(const byte* in, byte* out, unsigned n) {
    const unsigned i = threadIdx.x;
    if (i < n) out[i] = in[i + 1];  // FAULT read_past_the_end
}
extern "C" __global__ void write_before_the_start(byte* out) {
    out[(int)threadIdx.x - 1] = 1;  // FAULT write_before_the_start
}
extern "C" __global__ void read_of_nowhere(const byte* in, byte* out) {
    out[threadIdx.x] = in[threadIdx.x];  // FAULT read_of_nowhere
}
extern "C" __global__ void copy_of_16(const byte* in, byte* out) {
    *(uint4*)(out + 16 * threadIdx.x) = *(const uint4*)(in + 16 * threadIdx.x);  // FAULT copy_of_16
}
extern "C" __global__ void copied_by_memcpy(const byte* in, byte* out, unsigned n) {
    if (threadIdx.x == 0) memcpy(out, in, n);  // FAULT copied_by_memcpy
}
extern "C" __global__ void plain_copy(const byte* in, byte* out) {
    out[threadIdx.x] = in[threadIdx.x];  // FAULT plain_copy
}
extern "C" __global__ void add_to_nothing(int* out) {
    atomicAdd(out, 1);  // FAULT add_to_nothing
}

extern "C" __global__ void half_written_shared(int* out, int every) {
    __shared__ int tile[64];
    if (every || threadIdx.x & 1) tile[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x];  // FAULT half_written_shared
}
extern "C" __global__ void shared_past_the_end(int* out, int by) {
    __shared__ int tile[64];
    tile[threadIdx.x + by] = 1;  // FAULT shared_past_the_end
    __syncthreads();
    out[threadIdx.x] = tile[threadIdx.x + by];
}
extern "C" __global__ void dynamic_shared(int* out, int n) {
    int* const tile = (int*)emu_dynamic_shared();
    tile[threadIdx.x] = (int)threadIdx.x;  // FAULT dynamic_shared
    __syncthreads();
    out[threadIdx.x] = tile[n - 1 - (int)threadIdx.x];
}
extern "C" __global__ void last_blocks_shared(int* out) {  // a block finds nothing of the one before it
    __shared__ int tile[32];
    if (blockIdx.x == 0) tile[threadIdx.x] = 1;
    __syncthreads();
    out[blockIdx.x * 32 + threadIdx.x] = tile[threadIdx.x];  // FAULT last_blocks_shared
}
template <int N>
__device__ void reversed(int* out) {
    __shared__ int tile[N];
    tile[threadIdx.x] = 1;  // FAULT shared_in_a_template
    __syncthreads();
    out[threadIdx.x] = tile[N - 1 - threadIdx.x];
}
extern "C" __global__ void shared_in_a_template(int* out) { reversed<64>(out); }

extern "C" __global__ void missing_barrier(int* out, int with) {
    __shared__ int tile[64];
    tile[threadIdx.x] = (int)threadIdx.x;
    if (with) __syncthreads();
    out[threadIdx.x] = tile[63 - threadIdx.x];  // FAULT missing_barrier
}
extern "C" __global__ void missing_second_barrier(int* out, int with) {  // reads, then writes what another reads
    __shared__ int tile[64];
    tile[threadIdx.x] = 1;
    __syncthreads();
    const int value = tile[63 - threadIdx.x];
    if (with) __syncthreads();
    tile[threadIdx.x] = value + 1;  // FAULT missing_second_barrier
    out[threadIdx.x] = value;
}
extern "C" __global__ void missing_syncwarp(int* out, int with) {
    __shared__ int tile[32];
    tile[threadIdx.x] = (int)threadIdx.x;
    if (with) __syncwarp();
    out[threadIdx.x] = tile[threadIdx.x ^ 1];  // FAULT missing_syncwarp
}
extern "C" __global__ void shuffle_is_no_barrier(int* out, int with) {
    __shared__ int tile[32];
    tile[threadIdx.x] = (int)threadIdx.x;
    if (with) __syncwarp();
    const int other = __shfl_xor_sync(0xffffffffu, (int)threadIdx.x, 1);
    out[threadIdx.x] = tile[other];  // FAULT shuffle_is_no_barrier
}
extern "C" __global__ void syncwarp_of_another_warp(int* out, int with) {
    __shared__ int tile[64];
    tile[threadIdx.x] = (int)threadIdx.x;
    __syncwarp();
    if (with) __syncthreads();
    out[threadIdx.x] = tile[63 - threadIdx.x];  // FAULT syncwarp_of_another_warp
}
extern "C" __global__ void syncwarp_of_half(int* out, int by) {  // each half of the warp syncs with itself
    __shared__ int tile[32];
    tile[threadIdx.x] = (int)threadIdx.x;
    if (threadIdx.x < 16) __syncwarp(0x0000ffffu);
    else __syncwarp(0xffff0000u);
    out[threadIdx.x] = tile[threadIdx.x ^ by];  // FAULT syncwarp_of_half
}
extern "C" __global__ void syncwarps_chained(int* out) {  // 0 with 1, then 1 with 2: so 2 sees what 0 wrote
    __shared__ int tile[1];
    if (threadIdx.x == 0) tile[0] = 7;
    if (threadIdx.x < 2) __syncwarp(3u);
    if (threadIdx.x == 1 || threadIdx.x == 2) __syncwarp(6u);
    if (threadIdx.x == 2) out[0] = tile[0];
    __syncwarp();
}
extern "C" __global__ void blocks_write_alike(int* out, int apart) {
    out[threadIdx.x + blockIdx.x * apart] = 1;  // FAULT blocks_write_alike
}
extern "C" __global__ void block_reads_anothers(int* out, int apart) {
    const int mine = (int)(blockIdx.x * 32 + threadIdx.x);
    const int value = out[(mine + apart) % 64];
    out[mine] = value;  // FAULT block_reads_anothers
}
extern "C" __global__ void add_without_atomic(int* out, int with) {
    if (with) atomicAdd(out, 1);
    else out[0] = out[0] + 1;  // FAULT add_without_atomic
}
extern "C" __global__ void lanes_write_alike(int* out, int by) {
    out[threadIdx.x * by] = 1;  // FAULT lanes_write_alike
}

extern "C" __global__ void divergent_barrier(int* out, int split) {
    if (threadIdx.x < split) __syncthreads();
    else __syncthreads();  // FAULT divergent_barrier
    out[threadIdx.x] = 1;
}
extern "C" __global__ void barrier_and_collective(int* out) {
    if (threadIdx.x & 1) __syncthreads();
    else __syncwarp();  // FAULT barrier_and_collective
    out[threadIdx.x] = 1;
}
extern "C" __global__ void exited_lane(int* out, int lane) {
    if (threadIdx.x == lane) return;
    out[threadIdx.x] = __any_sync(0xffffffffu, 1);  // FAULT exited_lane
}
extern "C" __global__ void lane_not_in_mask(int* out, unsigned mask) {
    out[threadIdx.x] = __any_sync(mask, 1);  // FAULT lane_not_in_mask
}
extern "C" __global__ void lanes_come_apart(int* out, int split) {
    if (threadIdx.x < split) __syncwarp();
    else __syncwarp();
    out[threadIdx.x] = 1;
}
extern "C" __global__ void shuffle_of_a_width(int* out, int width) {
    out[threadIdx.x] = __shfl_sync(0xffffffffu, (int)threadIdx.x, 0, width);  // FAULT shuffle_of_a_width
}
extern "C" __global__ void trapped(int* out, int with) {
    if (with) __trap();  // FAULT trapped
    out[threadIdx.x] = 1;
}

extern "C" __global__ void endless(int* out, int forever) {
    volatile int turn = 0;
    while (forever || turn < 10) turn = turn + 1;  // FAULT endless
    out[threadIdx.x] = 1;
}
extern "C" __global__ void endless_without_memory(int* out, unsigned forever) {
    unsigned x = threadIdx.x;
    do x = x * 5 + 1;
    while (forever || x == 0);
    out[threadIdx.x] = (int)x;
}
extern "C" __global__ void endless_in_global_memory(int* out, int forever) {
    do out[threadIdx.x] = 1;
    while (forever);
}
extern "C" __global__ void endless_at_barriers(int* out, int forever) {
    do __syncthreads();
    while (forever);
    out[threadIdx.x] = 1;
}
extern "C" __global__ void waits_for_another(volatile int* flag, int with) {  // a spin that only preemption would end
    if (threadIdx.x == 0 && with) while (!flag[0]) {}
    if (threadIdx.x == 1) flag[0] = 1;
}
extern "C" __global__ void __launch_bounds__(64) of_64_threads(int* out) { out[threadIdx.x] = 1; }
extern "C" __global__ void with_much_shared(int* out) {
    __shared__ volatile int tile[8192];
    tile[threadIdx.x] = 1;
    out[threadIdx.x] = tile[threadIdx.x];
}
