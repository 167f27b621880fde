// Threads of the OpenMP runtime that torch has loaded, whichever it is. A compiler's own -fopenmp would bring its own runtime:
// two pools that fight for the cores.
#pragma once
#include <cstdint>

extern "C" {
// libgomp has them, and LLVM's and Intel's runtimes have them too.
void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
int omp_get_num_threads();
int omp_get_thread_num();
}

// Calls `work(thread)` for every thread below `threads`, at the same time where the runtime gives as many. It may not throw.
template <typename Work> void in_threads(int64_t threads, const Work &work) {
    struct Call {
        const Work &work;
        int64_t threads;
    } call{work, threads};
    const auto body = [](void *data) noexcept {
        const Call &call = *static_cast<const Call *>(data);
        for (int64_t thread = omp_get_thread_num(); thread < call.threads; thread += omp_get_num_threads()) call.work(thread);
    };
    GOMP_parallel(body, &call, (unsigned)threads, 0);
}
