// gpuzarr's host module: runs rows of a read or a write plan on one thread. The contract is host.h.
//
// Build: c++ -O3 -std=c++17 -fPIC -shared -pthread -fno-exceptions -fno-rtti -fvisibility=hidden host.cpp -o _host.so
// It needs nothing but the C library: allocation failures are statuses, nothing throws.

#include "host.h"
#include "host_box.h"

#include <string.h>

#include "host_codecs.h"
#include "host_copy.h"
#include "host_files.h"
#include "host_memory.h"

namespace gz {
namespace {

// Whether the numbers that everything else relies on make sense together.
template <class Job>
bool plausible(const Job& job) {
    const bool swaps = job.swap == 2 || job.swap == 4 || job.swap == 8;
    return job.ndim >= 0 && job.ndim <= kMaxAxes - 2 && job.itemsize > 0 && job.chunk_nbytes >= job.itemsize &&
           job.chunk_nbytes < int64_t{1} << 46 && (job.swap == 0 || (swaps && job.itemsize % job.swap == 0));
}

int64_t decline(int32_t* status, int64_t lo, int64_t hi) {
    for (int64_t row = lo; row < hi; row++) status[row] = GZ_DECLINED;
    return hi - lo;
}

// ---- fill ----------------------------------------------------------------------------------------------------------

// Writes one element over and over.
class Filler {
  public:
    // `copier` copies elements of `itemsize` bytes without swapping.
    Filler(const char* fill, int64_t itemsize, const Copier& copier)
        : fill_(fill), itemsize_(itemsize), copier_(copier), row_(sizeof pattern_ / itemsize * itemsize) {
        if (row_ == 0) return;
        memcpy(pattern_, fill, itemsize);
        for (int64_t done = itemsize; done < row_; done *= 2)
            memcpy(pattern_ + done, pattern_, done < row_ - done ? done : row_ - done);
    }

    // `box` is reduced, with no source.
    void fill(const Box& box, char* dst) const { walk(box.axis, box.rank, dst); }

    // To dst + to[i].
    void fill(char* dst, const int64_t* to, int64_t n) const {
        for (int64_t i = 0; i < n; i++) copier_.copy(dst + to[i], fill_, itemsize_);
    }

    void fill(char* dst, int64_t nbytes) const {
        if (row_ == 0) {
            for (int64_t i = 0; i < nbytes; i += itemsize_) copier_.copy(dst + i, fill_, itemsize_);
            return;
        }
        for (int64_t i = 0; i < nbytes; i += row_)
            copier_.copy(dst + i, pattern_, nbytes - i < row_ ? nbytes - i : row_);
    }

  private:
    void walk(const Axis* axis, int rank, char* dst) const {
        if (rank == 0) return fill(dst, itemsize_);
        if (rank == 1 && axis->dst == itemsize_) return fill(dst, axis->n * itemsize_);
        for (int64_t i = 0; i < axis->n; i++) walk(axis + 1, rank - 1, dst + i * axis->dst);
    }

    const char* fill_;
    int64_t itemsize_;
    const Copier& copier_;
    int64_t row_;  // bytes of pattern_ in use: whole elements
    char pattern_[4096];
};

// ---- reading -------------------------------------------------------------------------------------------------------

// Positions as bytes, in the chunk and in the result.
struct List {
    const int64_t *from, *to;
    int64_t n;

    // Whether they follow one another on both sides.
    bool is_run(int64_t itemsize) const {
        for (int64_t i = 1; i < n; i++)
            if (from[i] != from[i - 1] + itemsize || to[i] != to[i - 1] + itemsize) return false;
        return true;
    }
};

class Reader {
  public:
    Reader(const gz_read& job, int64_t hi)
        : job_(job),
          decoder_(job.codecs, job.ops, job.n_ops, job.chunk_nbytes),
          source_(job, hi, decoder_.largest_stored()),
          copier_(job.itemsize, job.swap, job.streaming != 0),
          filling_(job.itemsize, 0, job.streaming != 0),
          filler_(job.fill, job.itemsize, filling_) {}

    int read(int64_t row) {
        Box box;
        int64_t from, to;
        const bool one_box = job_.tiles_kind == GZ_BOXES && job_.tile_start[row + 1] - job_.tile_start[row] == 1;
        if (one_box && !box_of(job_.tile_start[row], &box, &from, &to)) return GZ_DECLINED;
        char* into = one_box && is_whole(box) ? job_.out + to : nullptr;
        int status = job_.n_ops == 0 && job_.kind == GZ_FILES ? read_raw(row, into) : read_encoded(row, into);
        if (status == GZ_ABSENT && !scatter(row, nullptr)) status = GZ_DECLINED;
        return status;
    }

  private:
    static constexpr int64_t kLargeRaw = int64_t{512} << 10, kPiece = int64_t{256} << 10;

    // Whether the box is the whole chunk and has the same order in the result: then it can be decoded there.
    bool is_whole(const Box& box) const {
        const int64_t units = box.rank == 0 ? 1 : box.axis[0].n;
        return job_.swap == 0 && box.is_run(copier_.unit()) && units * copier_.unit() == job_.chunk_nbytes;
    }

    int read_encoded(int64_t row, char* into) {
        Bytes bytes;
        int status = source_.fetch(row, &bytes);
        if (status != GZ_OK) return status;
        status = decoder_.decode(&bytes, decoder_.places() ? into : nullptr);
        if (status != GZ_OK || bytes.at == into) return status;
        return scatter(row, bytes.at) ? GZ_OK : GZ_DECLINED;
    }

    int read_raw(int64_t row, char* into) {
        if (into != nullptr) return source_.fetch_into(row, into, job_.chunk_nbytes);
        if (job_.chunk_nbytes < kLargeRaw || job_.tiles_kind != GZ_BOXES) return read_encoded(row, nullptr);
        int64_t begin, length;
        int status = source_.locate(row, &begin, &length);
        if (status != GZ_OK) return status;
        if (length < 0) {
            status = source_.files().size(&length);
            if (status != GZ_OK) return status;
            length -= begin;
        }
        if (length != job_.chunk_nbytes) return GZ_SIZE;
        for (int64_t tile = job_.tile_start[row]; tile < job_.tile_start[row + 1]; tile++) {
            Box box;
            int64_t from, to;
            if (!box_of(tile, &box, &from, &to)) return GZ_DECLINED;
            status = box.empty() ? GZ_OK : read_pieces(&box, begin + from, job_.out + to);
            if (status != GZ_OK) return status;
        }
        return GZ_OK;
    }

    // Reads what the box needs, in pieces that fit the cache: a box that is too wide is cut along its widest axis.
    int read_pieces(Box* box, int64_t at, char* dst) {
        int64_t low, high;
        box->reach(&low, &high);
        const int64_t span = high - low + copier_.unit();
        if (span <= kPiece) return read_piece(*box, at + low, -low, span, dst);
        Axis* widest = box->axis;
        for (Axis* axis = box->axis; axis < box->axis + box->rank; axis++)
            if (width(*axis) > width(*widest)) widest = axis;
        const Axis whole = *widest;
        const int64_t half = whole.n / 2;
        widest->n = half;
        int status = read_pieces(box, at, dst);
        widest->n = whole.n - half;
        if (status == GZ_OK) status = read_pieces(box, at + half * whole.src, dst + half * whole.dst);
        *widest = whole;
        return status;
    }

    static int64_t width(const Axis& axis) { return (axis.n - 1) * (axis.src < 0 ? -axis.src : axis.src); }

    int read_piece(const Box& box, int64_t at, int64_t first, int64_t span, char* dst) {
        char* piece = scratch().ping.reserve(kPiece);
        if (piece == nullptr) return GZ_DECLINED;
        int64_t got = 0;
        const int status = source_.files().read_at(piece, span, at, &got);
        if (status != GZ_OK) return status;
        if (got < span) return GZ_SHORT;
        copier_.copy(box, dst, piece + first);
        return GZ_OK;
    }

    // Copies the tiles of `row` from `chunk` into the result (nullptr: fills them). False: one leaves the chunk.
    bool scatter(int64_t row, const char* chunk) {
        for (int64_t tile = job_.tile_start[row]; tile < job_.tile_start[row + 1]; tile++) {
            const bool fine = job_.tiles_kind == GZ_BOXES    ? scatter_box(tile, chunk)
                              : job_.tiles_kind == GZ_TABLES ? scatter_tables(tile, chunk)
                                                             : scatter_points(tile, chunk);
            if (!fine) return false;
        }
        return true;
    }

    bool inside(int64_t low, int64_t high) const { return low >= 0 && high <= job_.chunk_nbytes - job_.itemsize; }

    // The box of a tile, complete, with the bytes where it begins in the chunk and in the result.
    bool box_of(int64_t tile, Box* box, int64_t* from, int64_t* to) const {
        *from = *to = 0;
        for (int64_t d = 0; d < job_.ndim; d++) {
            const int64_t i = tile * job_.ndim + d;
            *from += job_.source[i] * job_.chunk_strides[d];
            *to += job_.target[i] * job_.out_strides[d];
            box->add(job_.count[i], job_.out_strides[d], job_.step[i] * job_.chunk_strides[d]);
        }
        int64_t low, high;
        box->reach(&low, &high);
        if (!box->empty() && !inside(*from + low, *from + high)) return false;
        copier_.complete(box);
        return true;
    }

    bool scatter_box(int64_t tile, const char* chunk) {
        Box box;
        int64_t from, to;
        if (!box_of(tile, &box, &from, &to)) return false;
        if (box.empty()) return true;
        if (chunk != nullptr)
            copier_.copy(box, job_.out + to, chunk + from);
        else
            fill_box(tile, job_.out + to);
        return true;
    }

    void fill_box(int64_t tile, char* dst) const {
        Box box;
        for (int64_t d = 0; d < job_.ndim; d++) box.add(job_.count[tile * job_.ndim + d], job_.out_strides[d], 0);
        box.reduce();
        filler_.fill(box, dst);
    }

    bool scatter_tables(int64_t tile, const char* chunk) {
        List lists[kMaxAxes];
        int64_t total = 0;
        for (int64_t d = 0; d < job_.ndim; d++) {
            const int64_t n = job_.count[tile * job_.ndim + d];
            if (n <= 0) return true;
            total += n;
        }
        int64_t* room = reinterpret_cast<int64_t*>(scratch().lists.reserve(16 * total));
        if (total > 0 && room == nullptr) return false;
        int64_t low = 0, high = 0;
        for (int64_t d = 0; d < job_.ndim; d++) {
            const int64_t i = tile * job_.ndim + d, n = job_.count[i];
            lists[d] = {room, room + n, n};
            offsets(job_.table_source[d] + job_.source[i], job_.chunk_strides[d], n, room);
            offsets(job_.table_target[d] + job_.source[i], job_.out_strides[d], n, room + n);
            widen(room, n, &low, &high);
            room += 2 * n;
        }
        if (!inside(low, high)) return false;
        if (job_.ndim == 0) lists[0] = {&kZero, &kZero, 1};
        const int64_t outer = job_.ndim > 0 ? job_.ndim - 1 : 0;
        walk(lists, outer, lists[outer].is_run(job_.itemsize), job_.out, chunk);
        return true;
    }

    static void offsets(const int64_t* index, int64_t stride, int64_t n, int64_t* to) {
        for (int64_t i = 0; i < n; i++) to[i] = index[i] * stride;
    }

    static void widen(const int64_t* offset, int64_t n, int64_t* low, int64_t* high) {
        int64_t least = offset[0], most = offset[0];
        for (int64_t i = 1; i < n; i++) {
            least = offset[i] < least ? offset[i] : least;
            most = offset[i] > most ? offset[i] : most;
        }
        *low += least, *high += most;
    }

    // `run`: whether the innermost list is one.
    void walk(const List* list, int64_t outer, bool run, char* dst, const char* chunk) const {
        if (outer == 0) return run ? copy_run(*list, dst, chunk) : copy_list(*list, dst, chunk);
        for (int64_t i = 0; i < list->n; i++)
            walk(list + 1, outer - 1, run, dst + list->to[i], chunk != nullptr ? chunk + list->from[i] : nullptr);
    }

    void copy_run(const List& list, char* dst, const char* chunk) const {
        const int64_t nbytes = list.n * job_.itemsize;
        if (chunk != nullptr)
            copier_.copy(dst + list.to[0], chunk + list.from[0], nbytes);
        else
            filler_.fill(dst + list.to[0], nbytes);
    }

    void copy_list(const List& list, char* dst, const char* chunk) const {
        if (chunk != nullptr)
            copier_.copy(dst, list.to, chunk, list.from, list.n);
        else
            filler_.fill(dst, list.to, list.n);
    }

    bool scatter_points(int64_t tile, const char* chunk) {
        const int64_t first = job_.source[tile * job_.ndim], n = job_.count[tile * job_.ndim];
        if (n <= 0) return true;
        const List list = {job_.table_source[0] + first, job_.table_target[0] + first, n};
        int64_t low = 0, high = 0;
        widen(list.from, n, &low, &high);
        if (!inside(low, high)) return false;
        copy_list(list, job_.out, chunk);
        return true;
    }

    static constexpr int64_t kZero = 0;

    const gz_read& job_;
    const Decoder decoder_;
    Source source_;
    const Copier copier_, filling_;
    const Filler filler_;
};

// ---- writing -------------------------------------------------------------------------------------------------------

class Writer {
  public:
    explicit Writer(const gz_write& job)
        : job_(job),
          encoder_(job.codecs, job.ops, job.n_ops, job.chunk_nbytes),
          copier_(job.itemsize, job.swap, false),
          filling_(job.itemsize, 0, false),
          wire_fill_(swapped_fill(job)),
          filler_(wire_fill_, job.itemsize, filling_),
          files_(job) {}

    int write(int64_t row) {
        job_.size[row] = 0;
        char* dst = room(row);
        if (dst == nullptr || wire_fill_ == nullptr) return GZ_DECLINED;
        Bytes chunk;
        int status = gather(row, dst, &chunk);
        if (status != GZ_OK) return status;
        if (job_.skip_fill != 0 && is_fill(chunk.at)) {
            job_.size[row] = -1;
            return GZ_OK;
        }
        status = encoder_.encode(chunk, dst, &job_.size[row]);
        if (status != GZ_OK) return status;
        used_ += job_.size[row];
        if (job_.slab != nullptr) return GZ_OK;
        return files_.put(row, {job_.n_ops == 0 ? chunk.at : dst, job_.size[row]});
    }

  private:
    // Where the encoded bytes of `row` go first, or nullptr.
    char* room(int64_t row) const {
        if (encoder_.bound() < 0) return nullptr;
        if (job_.slab == nullptr) return scratch().encoded.reserve(encoder_.bound());
        if (job_.capacity < encoder_.bound()) return nullptr;
        return job_.packed != 0 ? job_.slab + used_ : job_.slab + row * job_.capacity;
    }

    // Whether what comes next reads the chunk where it is.
    bool reads() const { return encoder_.reads() || (job_.n_ops == 0 && job_.slab == nullptr); }

    // The fill value in the order of the chunk, in this thread's scratch.
    static const char* swapped_fill(const gz_write& job) {
        char* fill = scratch().lists.reserve(job.itemsize);
        if (fill != nullptr) Copier(job.itemsize, job.swap, false).copy(fill, job.fill, job.itemsize);
        return fill;
    }

    // The chunk of `row`: where it is, if it can be read there, else a copy.
    int gather(int64_t row, char* dst, Bytes* chunk) {
        Box box;
        int64_t from = 0, to = 0, end = 0, elements = 1;
        for (int64_t d = 0; d < job_.ndim; d++) {
            const int64_t i = row * job_.ndim + d;
            from += job_.source[i] * job_.src_strides[d];
            to += job_.target[i] * job_.chunk_strides[d];
            end += (job_.target[i] + job_.count[i] - 1) * job_.chunk_strides[d];
            elements *= job_.count[i];
            box.add(job_.count[i], job_.chunk_strides[d], job_.src_strides[d]);
        }
        if (box.empty() || to < 0 || end + job_.itemsize > job_.chunk_nbytes) return GZ_DECLINED;
        copier_.complete(&box);
        const bool whole = elements * job_.itemsize == job_.chunk_nbytes;
        const char* src = job_.src + from;
        if (whole && reads() && job_.swap == 0 && box.is_run(copier_.unit())) {
            *chunk = {src, job_.chunk_nbytes};
            return GZ_OK;
        }
        char* copy = encoder_.stays() ? dst : scratch().stored.reserve(encoder_.head());
        if (copy == nullptr) return GZ_DECLINED;
        if (!whole) filler_.fill(copy, job_.chunk_nbytes);
        copier_.copy(box, copy + to, src);
        *chunk = {copy, job_.chunk_nbytes};
        return GZ_OK;
    }

    bool is_fill(const char* chunk) const {
        const int64_t item = job_.itemsize;
        return memcmp(chunk, wire_fill_, item) == 0 && memcmp(chunk, chunk + item, job_.chunk_nbytes - item) == 0;
    }

    const gz_write& job_;
    const Encoder encoder_;
    const Copier copier_, filling_;
    const char* wire_fill_;
    const Filler filler_;
    const NewFiles files_;
    int64_t used_ = 0;  // bytes of the rows so far
};

}  // namespace
}  // namespace gz

extern "C" {

int64_t gz_abi(void) { return GZ_ABI; }

int64_t gz_read_run(const gz_read* job, int64_t lo, int64_t hi) {
    if (!gz::plausible(*job)) return gz::decline(job->status, lo, hi);
    gz::Reader reader(*job, hi);
    int64_t failed = 0;
    for (int64_t row = lo; row < hi; row++) {
        job->status[row] = reader.read(row);
        failed += job->status[row] > GZ_ABSENT;
    }
    if (job->streaming != 0) gz::finish_streaming();
    gz::scratch().trim();
    return failed;
}

int64_t gz_read_box(const gz_box* box, const int64_t* start, const int64_t* count, const int64_t* coords,
                    const int64_t* index, char* out) {
    const int64_t d = box->read.ndim;
    if (d < 1 || d > GZ_BOX_DIMS) return 1;
    gz::BoxPlan plan;
    if (!plan.make(*box, start, count, coords, index)) return 1;
    gz_read job = box->read;
    plan.fill_in(job, count, out);
    return gz_read_run(&job, 0, plan.rows);
}

int64_t gz_encode_bound(const gz_write* job) {
    if (!gz::plausible(*job)) return -1;
    return gz::Encoder(job->codecs, job->ops, job->n_ops, job->chunk_nbytes).bound();
}

int64_t gz_write_run(const gz_write* job, int64_t lo, int64_t hi) {
    if (!gz::plausible(*job)) return gz::decline(job->status, lo, hi);
    gz::Writer writer(*job);
    int64_t failed = 0;
    for (int64_t row = lo; row < hi; row++) {
        job->status[row] = writer.write(row);
        failed += job->status[row] > GZ_OK;
    }
    gz::scratch().trim();
    return failed;
}
}
