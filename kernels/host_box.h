// The plan of one small box (gz_read_box): the columns that gz_read_run wants, on the stack.

#pragma once
#include "host.h"

namespace gz {

struct BoxPlan {
    int64_t rows = 0;
    int64_t coords[GZ_BOX_ROWS * GZ_BOX_DIMS], source[GZ_BOX_ROWS * GZ_BOX_DIMS], target[GZ_BOX_ROWS * GZ_BOX_DIMS],
        extent[GZ_BOX_ROWS * GZ_BOX_DIMS], step[GZ_BOX_ROWS * GZ_BOX_DIMS];
    int64_t number[GZ_BOX_ROWS + 1], zero[GZ_BOX_ROWS], offset[GZ_BOX_ROWS], length[GZ_BOX_ROWS], whole[GZ_BOX_ROWS];
    int64_t out_strides[GZ_BOX_DIMS];
    int32_t status[GZ_BOX_ROWS];
    bool in_shard = false;

    // One row a chunk, in C order; false where there are too many, or one is not stored in the shard.
    bool make(const gz_box& box, const int64_t* start, const int64_t* count, const int64_t* shard, const int64_t* index) {
        const int64_t d = box.read.ndim;
        int64_t low[GZ_BOX_DIMS], n[GZ_BOX_DIMS], at[GZ_BOX_DIMS] = {};
        rows = 1;
        for (int64_t k = 0; k < d; k++) {
            low[k] = start[k] / box.chunk[k];
            n[k] = (start[k] + count[k] - 1) / box.chunk[k] - low[k] + 1;
            if (n[k] > GZ_BOX_ROWS) return false;
            rows *= n[k];
            if (rows > GZ_BOX_ROWS) return false;
        }
        in_shard = box.grid != nullptr;
        for (int64_t r = 0; r < rows; r++) {
            if (!row(box, r, low, at, start, count, index)) return false;
            for (int64_t k = d - 1; k >= 0 && ++at[k] == n[k]; k--) at[k] = 0;
        }
        for (int64_t k = 0; in_shard && k < d; k++) coords[k] = shard[k];
        for (int64_t r = 0; r <= rows; r++) number[r] = r;
        return true;
    }

    // The columns and the result of a read whose other members are set.
    void fill_in(gz_read& job, const int64_t* count, char* out) {
        int64_t step_bytes = job.itemsize;
        for (int64_t k = job.ndim - 1; k >= 0; k--) {
            out_strides[k] = step_bytes;
            step_bytes *= count[k];
        }
        job.out = out;
        job.out_strides = out_strides;
        job.coords = coords;
        job.ext_key = number;
        job.ext_offset = zero;
        job.ext_length = whole;
        job.row_ext = in_shard ? zero : number;
        job.row_offset = in_shard ? offset : zero;
        job.row_length = in_shard ? length : whole;
        job.tile_start = number;
        job.source = source;
        job.target = target;
        job.count = extent;
        job.step = step;
        job.status = status;
    }

  private:
    bool row(const gz_box& box, int64_t r, const int64_t* low, const int64_t* at, const int64_t* start,
             const int64_t* count, const int64_t* index) {
        const int64_t d = box.read.ndim;
        int64_t slot = 0;
        for (int64_t k = 0; k < d; k++) {
            const int64_t chunk = low[k] + at[k], first = chunk * box.chunk[k], i = r * d + k;
            const int64_t begin = start[k] > first ? start[k] : first, stop = start[k] + count[k];
            const int64_t end = stop < first + box.chunk[k] ? stop : first + box.chunk[k];
            source[i] = begin - first;
            target[i] = begin - start[k];
            extent[i] = end - begin;
            step[i] = 1;
            if (in_shard) slot = slot * box.grid[k] + chunk;
            else coords[i] = chunk;
        }
        zero[r] = 0;
        whole[r] = in_shard ? int64_t(1) << 60 : -1;  // rows that are parts of a value: it must not be read whole
        if (!in_shard) return true;
        offset[r] = index[2 * slot];
        length[r] = index[2 * slot + 1];
        return offset[r] >= 0;
    }
};

}  // namespace gz
