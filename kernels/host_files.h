// Stored bytes of rows: from memory or from files, and to files.
//
// Reading files: one descriptor is kept until the key changes. A row that stands for a whole file is read without
// asking for the file's size. Rows of a larger file are read a window at a time, so that bytes are still in the cache
// when they are decoded, however large the request is that they came from.
//
// Writing files: a value is written under a temporary name and then moved, so that it is seen whole or not at all.

#pragma once
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host.h"
#include "host_memory.h"

namespace gz {

inline int io_error() { return GZ_IO | errno << 8; }

// The most bytes that are asked of one call, which moves at most 2 GiB.
constexpr ssize_t kLargestStep = ssize_t{1} << 30;

// ---- names ---------------------------------------------------------------------------------------------------------

inline char* write_number(char* to, int64_t value) {
    char digits[20];
    int n = 0;
    for (uint64_t rest = value; n == 0 || rest != 0; rest /= 10) digits[n++] = static_cast<char>('0' + rest % 10);
    while (n > 0) *to++ = digits[--n];
    return to;
}

// The files of a job's keys, each in this thread's scratch until the next is asked for.
template <class Job>
class Paths {
  public:
    explicit Paths(const Job& job)
        : job_(job),
          prefix_size_(job.prefix ? strlen(job.prefix) : 0),
          zero_size_(job.key_ndim == 0 && job.zero_key ? strlen(job.zero_key) : 0) {}

    // nullptr: no memory.
    char* of(int64_t key) const {
        char* path = scratch().path.reserve(prefix_size_ + zero_size_ + 21 * job_.key_ndim + 1);
        if (path == nullptr) return nullptr;
        if (prefix_size_ > 0) memcpy(path, job_.prefix, prefix_size_);
        char* end = path + prefix_size_;
        if (zero_size_ > 0) memcpy(end, job_.zero_key, zero_size_);
        end += zero_size_;
        for (int64_t d = 0; d < job_.key_ndim; d++) {
            if (d > 0) *end++ = static_cast<char>(job_.separator);
            end = write_number(end, job_.coords[key * job_.key_ndim + d]);
        }
        *end = 0;
        return path;
    }

  private:
    const Job& job_;
    const int64_t prefix_size_, zero_size_;
};

// ---- reading -------------------------------------------------------------------------------------------------------

// The files of a read, one open at a time.
class Files {
  public:
    explicit Files(const gz_read& job) : paths_(job) {}
    Files(const Files&) = delete;
    Files& operator=(const Files&) = delete;
    ~Files() { close_file(); }

    // GZ_OK, GZ_ABSENT or an error.
    int open_key(int64_t key) {
        if (key == key_) return state_;
        close_file();
        const char* path = paths_.of(key);
        if (path == nullptr) return GZ_DECLINED;
        key_ = key;
        // Non-blocking, so that a pipe which somebody left in the folder is an error and not a wait without end.
        do file_ = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        while (file_ < 0 && errno == EINTR);
        return state_ = file_ >= 0 ? GZ_OK : errno == ENOENT || errno == ENOTDIR ? GZ_ABSENT : io_error();
    }

    int size(int64_t* n) const {
        struct stat about;
        if (fstat(file_, &about) != 0) return io_error();
        *n = about.st_size;
        return GZ_OK;
    }

    // Up to `n` bytes at `offset`; fewer only where the file ends.
    int read_at(char* to, int64_t n, int64_t offset, int64_t* got) const {
        for (*got = 0; *got < n;) {
            const ssize_t step = pread(file_, to + *got, n - *got, offset + *got);
            if (step == 0) break;
            if (step < 0 && errno == EINTR) continue;
            if (step < 0) return io_error();
            *got += step;
            // A short count is the end of the file (or a file that is being cut, which decoding finds).
            if (step < kLargestStep && *got < n) break;
        }
        return GZ_OK;
    }

    // The whole file, which has to be `n` bytes: its end is found by asking for one byte more.
    int read_whole(char* to, int64_t n) const {
        char beyond;
        for (int64_t got = 0;;) {
            iovec parts[] = {{to + got, static_cast<size_t>(n - got)}, {&beyond, 1}};
            const ssize_t step = preadv(file_, parts, 2, got);
            if (step < 0 && errno == EINTR) continue;
            if (step < 0) return io_error();
            got += step;
            if (got > n) return GZ_SIZE;
            if (step < kLargestStep) return got == n ? GZ_OK : GZ_SIZE;
        }
    }

  private:
    void close_file() {
        if (file_ >= 0) close(file_);
        file_ = -1;
    }

    const Paths<gz_read> paths_;
    int file_ = -1;
    int64_t key_ = -1;
    int state_ = GZ_ABSENT;
};

// Where the bytes of row after row come from.
class Source {
  public:
    Source(const gz_read& job, int64_t hi, int64_t largest) : job_(job), hi_(hi), largest_(largest), files_(job) {}

    // The stored bytes of `row`: valid until the next call.
    int fetch(int64_t row, Bytes* bytes) {
        const int64_t extent = job_.row_ext[row];
        if (job_.kind == GZ_MEMORY) {
            if (job_.data[extent] == nullptr) return GZ_ABSENT;
            return part({job_.data[extent], job_.data_size[extent]}, row, bytes);
        }
        const int status = files_.open_key(job_.ext_key[extent]);
        if (status != GZ_OK) return status;
        return job_.ext_length[extent] < 0 ? from_whole(row, bytes) : from_window(row, bytes);
    }

    // Reads exactly `n` bytes, the whole of `row`, to `to`; more or fewer are GZ_SIZE.
    int fetch_into(int64_t row, char* to, int64_t n) {
        int64_t begin, length, got = 0;
        int status = locate(row, &begin, &length);
        if (status != GZ_OK) return status;
        if (length < 0) return begin == 0 ? files_.read_whole(to, n) : GZ_DECLINED;
        if (length != n) return GZ_SIZE;
        status = files_.read_at(to, n, begin, &got);
        return status != GZ_OK ? status : got < n ? GZ_SHORT : GZ_OK;
    }

    // The file that locate() opened.
    const Files& files() const { return files_; }

    // Opens the file of `row`; where its bytes begin, and how many there are (-1: to the file's end).
    int locate(int64_t row, int64_t* begin, int64_t* length) {
        const int64_t extent = job_.row_ext[row];
        const int status = files_.open_key(job_.ext_key[extent]);
        if (status != GZ_OK) return status;
        const int64_t size = job_.ext_length[extent], start = size < 0 ? 0 : job_.ext_offset[extent];
        const int64_t offset = job_.row_offset[row], wanted = job_.row_length[row];
        // A shard index may have said so: sums of two of these must not overflow.
        if (start < 0 || start > kFarthest || size > kFarthest || wanted > kFarthest) return GZ_DECLINED;
        if (offset < 0 || offset > (size < 0 ? kFarthest : size)) return GZ_DECLINED;
        *begin = start + offset;
        *length = wanted >= 0 || size < 0 ? wanted : size - offset;
        return size >= 0 && *length > size - offset ? GZ_SHORT : GZ_OK;
    }

  private:
    static constexpr int64_t kWindow = int64_t{256} << 10, kGap = 4096, kFarthest = int64_t{1} << 60;

    int part(Bytes whole, int64_t row, Bytes* bytes) const {
        const int64_t offset = job_.row_offset[row], wanted = job_.row_length[row];
        if (offset < 0) return GZ_DECLINED;
        if (offset > whole.n) return GZ_SHORT;
        const int64_t length = wanted < 0 ? whole.n - offset : wanted;
        if (length > whole.n - offset) return GZ_SHORT;
        *bytes = {whole.at + offset, length};
        return GZ_OK;
    }

    int from_whole(int64_t row, Bytes* bytes) {
        const int64_t extent = job_.row_ext[row];
        if (extent != extent_ || begin_ != kWhole) {
            const int status = read_whole();
            extent_ = status == GZ_OK ? extent : -1;
            begin_ = kWhole;
            if (status != GZ_OK) return status;
        }
        return part({scratch().stored.data(), size_}, row, bytes);
    }

    // The room asked for is usually more than the file has, so one call reads it and finds its end.
    int read_whole() {
        Buffer& buffer = scratch().stored;
        int64_t room = job_.chunk_nbytes + job_.chunk_nbytes / 16 + 4096;
        for (size_ = 0;;) {
            char* to = buffer.reserve(room, size_);
            if (to == nullptr) return GZ_DECLINED;
            int64_t got = 0;
            const int status = files_.read_at(to + size_, room - size_, size_, &got);
            if (status != GZ_OK) return status;
            size_ += got;
            if (size_ < room) return GZ_OK;
            if (room >= largest_) return GZ_DECLINED;
            room = 2 * room < largest_ ? 2 * room : largest_;
        }
    }

    int from_window(int64_t row, Bytes* bytes) {
        const int64_t extent = job_.row_ext[row];
        int64_t begin, length;
        int status = locate(row, &begin, &length);
        if (status != GZ_OK) return status;
        if (extent != extent_ || begin < begin_ || begin + length > begin_ + asked_) {
            status = read_window(row, begin, length);
            extent_ = status == GZ_OK ? extent : -1;
            if (status != GZ_OK) return status;
        }
        if (begin + length > begin_ + size_) return GZ_SHORT;
        *bytes = {scratch().stored.data() + (begin - begin_), length};
        return GZ_OK;
    }

    // This row's bytes, and those of the rows that follow it closely in the same extent.
    int read_window(int64_t row, int64_t begin, int64_t length) {
        if (length > largest_) return GZ_DECLINED;
        int64_t end = begin + length;
        for (int64_t next = row + 1; next < hi_ && job_.row_ext[next] == job_.row_ext[row]; next++) {
            int64_t next_begin, next_length;
            if (locate(next, &next_begin, &next_length) != GZ_OK) break;
            if (next_begin < end || next_begin - end > kGap || next_begin + next_length - begin > kWindow) break;
            end = next_begin + next_length;
        }
        char* to = scratch().stored.reserve(end - begin);
        if (to == nullptr) return GZ_DECLINED;
        begin_ = begin, asked_ = end - begin;
        return files_.read_at(to, asked_, begin, &size_);
    }

    static constexpr int64_t kWhole = -1;

    const gz_read& job_;
    const int64_t hi_, largest_;
    Files files_;
    int64_t extent_ = -1;             // whose bytes are in scratch().stored:
    int64_t begin_ = 0, asked_ = 0;   // those from begin_ on (kWhole: all), as many as were asked for,
    int64_t size_ = 0;                // of which the file had this many
};

// ---- writing -------------------------------------------------------------------------------------------------------

// Values put as files: each is written under a temporary name in its folder and then moved to its own.
class NewFiles {
  public:
    explicit NewFiles(const gz_write& job)
        : paths_(job), name_(job.temporary), name_size_(name_ ? strlen(name_) : 0) {}

    int put(int64_t key, Bytes value) const {
        char* path = paths_.of(key);
        const char* folder_end = path == nullptr ? nullptr : strrchr(path, '/');
        if (folder_end == nullptr || name_size_ == 0) return GZ_DECLINED;
        const int64_t folder_size = folder_end + 1 - path;
        char* temporary = scratch().temporary.reserve(folder_size + name_size_ + 1);
        if (temporary == nullptr) return GZ_DECLINED;
        memcpy(temporary, path, folder_size);
        memcpy(temporary + folder_size, name_, name_size_ + 1);
        const int file = create(temporary, folder_size - 1);
        if (file < 0) return io_error();
        int status = write_all(file, value);
        // Some file systems tell only now that the disk is full.
        if (close(file) != 0 && errno != EINTR && status == GZ_OK) status = io_error();
        if (status == GZ_OK && rename(temporary, path) != 0) status = io_error();
        if (status != GZ_OK) unlink(temporary);
        return status;
    }

  private:
    // A new file, and its folder if need be. The first is usually enough, and the third when others delete there.
    static int create(char* path, int64_t folder_size) {
        for (int attempt = 0;; attempt++) {
            int file;
            do file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
            while (file < 0 && errno == EINTR);
            if (file >= 0 || errno != ENOENT || attempt == 2) return file;
            make_folder(path, folder_size);
        }
    }

    // The folder that is the first `size` bytes of `path`, and those above it. Whether it worked, opening tells.
    static void make_folder(char* path, int64_t size) {
        if (size <= 0) return;
        path[size] = 0;
        if (mkdir(path, 0777) != 0 && errno == ENOENT) {
            int64_t parent = size;
            while (parent > 0 && path[parent] != '/') parent--;
            make_folder(path, parent);
            mkdir(path, 0777);
        }
        path[size] = '/';
    }

    static int write_all(int file, Bytes value) {
        for (int64_t done = 0; done < value.n;) {
            const int64_t rest = value.n - done;
            const ssize_t step = write(file, value.at + done, rest < kLargestStep ? rest : kLargestStep);
            if (step < 0 && errno == EINTR) continue;
            if (step < 0) return io_error();
            done += step;
        }
        return GZ_OK;
    }

    const Paths<gz_write> paths_;
    const char* name_;
    const int64_t name_size_;
};

}  // namespace gz
