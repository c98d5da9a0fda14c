// Memory of one thread: scratch that grows and is kept, and codec contexts that are made once.

#pragma once
#include <stdint.h>
#include <stdlib.h>

#include <initializer_list>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace gz {

struct Bytes {
    const char* at;
    int64_t n;
};

// Uninitialised memory that only grows, until dropped.
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { free(at_); }

    char* data() const { return at_; }
    int64_t capacity() const { return capacity_; }

    // At least `n` bytes, or nullptr. Contents are lost if it has to grow, unless `keep` of them are asked for.
    char* reserve(int64_t n, int64_t keep = 0) {
        if (n <= capacity_) return at_;
        const int64_t rounded = (n + kGrain - 1) / kGrain * kGrain;
        void* fresh = nullptr;
        if (n < 0 || posix_memalign(&fresh, rounded >= kHugePage ? kHugePage : 64, rounded) != 0) return nullptr;
        advise_huge_pages(fresh, rounded);
        if (keep > 0) __builtin_memcpy(fresh, at_, keep);
        free(at_);
        at_ = static_cast<char*>(fresh);
        capacity_ = rounded;
        return at_;
    }

    void drop() {
        free(at_);
        at_ = nullptr;
        capacity_ = 0;
    }

  private:
    static constexpr int64_t kGrain = 4096;
    static constexpr int64_t kHugePage = int64_t{1} << 21;

    static void advise_huge_pages(void* at, int64_t n) {
#if defined(__linux__)
        if (n >= kHugePage) madvise(at, n, MADV_HUGEPAGE);
#else
        (void)at, (void)n;
#endif
    }

    char* at_ = nullptr;
    int64_t capacity_ = 0;
};

// A codec's context, made by the function of one library and freed by its twin.
class Context {
  public:
    Context() = default;
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    ~Context() { drop(); }

    // The context made by `create` (with `level`, where that matters), or nullptr.
    template <class Create>
    void* get(Create&& create, void* maker, void* destroyer, int level = 0) {
        if (at_ != nullptr && maker == maker_ && level == level_) return at_;
        drop();
        if (maker == nullptr || destroyer == nullptr) return nullptr;
        at_ = create();
        maker_ = maker;
        destroyer_ = destroyer;
        level_ = level;
        return at_;
    }

  private:
    void drop() {
        if (at_ != nullptr) reinterpret_cast<void (*)(void*)>(destroyer_)(at_);
        at_ = nullptr;
    }

    void* at_ = nullptr;
    void* maker_ = nullptr;
    void* destroyer_ = nullptr;
    int level_ = 0;
};

struct Scratch {
    Buffer stored, ping, pong, encoded, lists, path, temporary;
    Context zstd_d, zstd_c, deflate_d, deflate_c;

    // What a thread may keep between runs: room for the stored and the decoded bytes of a 16 MiB chunk.
    static constexpr int64_t kKept = int64_t{40} << 20;

    void trim() {
        Buffer* const all[] = {&stored, &ping, &pong, &encoded, &lists};
        int64_t held = 0;
        for (const Buffer* buffer : all) held += buffer->capacity();
        if (held <= kKept) return;
        for (Buffer* buffer : all) buffer->drop();
    }
};

inline Scratch& scratch() {
    static thread_local Scratch mine;
    return mine;
}

}  // namespace gz
