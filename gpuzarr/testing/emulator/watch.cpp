// Ends a launch that does not end by itself: one that runs too long, or that touches memory there is none at.
//
// Both come as signals to the thread that launches. Where they interrupt the kernel's own code, which holds nothing, that
// code is left for good and the launch fails; where they interrupt the runtime's, the end waits until it is done. Time is
// the processor time of this thread, so that a busy machine does not matter.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "runtime.h"

using namespace emu;

volatile int emu::busy = 1, emu::expired;

namespace {

struct Watch {  // several of these libraries may be loaded: the signal says whose time it is
    void (*ended)(const void* place);
} watch;

pthread_t launching;
volatile int active;
double allowed;
timer_t timer;
bool timed;
struct sigaction before_segv, before_bus;

const void* interrupted(void* context) {  // as a call there would return to, like every other place
    const mcontext_t& machine = ((ucontext_t*)context)->uc_mcontext;
#if defined(__x86_64__)
    return (const void*)(machine.gregs[REG_RIP] + 1);
#else
    return (const void*)(machine.pc + 1);
#endif
}

void ended(const void* place) {
    if (!active) return;
    expired = 1;
    if (!busy && running) give_up(place);
}

void on_time(int, siginfo_t* info, void* context) {
    if (info->si_code == SI_TIMER) ((Watch*)info->si_value.sival_ptr)->ended(interrupted(context));
}

void on_fault(int signal, siginfo_t* info, void* context) {
    if (active && !busy && running && pthread_equal(pthread_self(), launching))
        fail(nullptr, interrupted(context), "an access to %p, where there is no memory or none so aligned", info->si_addr);
    const struct sigaction& before = signal == SIGBUS ? before_bus : before_segv;
    if (before.sa_flags & SA_SIGINFO) return before.sa_sigaction(signal, info, context);
    if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(signal);
    sigaction(signal, &before, nullptr);  // the fault comes again, and is not ours
}

int time_signal() { return SIGRTMIN + 9; }

void install() {
    static bool done;
    if (done) return;
    done = true;
    struct sigaction action = {};
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | SA_RESTART;  // a handler that is left must not stay blocked
    sigemptyset(&action.sa_mask);
    action.sa_sigaction = on_time;
    sigaction(time_signal(), &action, nullptr);
    action.sa_sigaction = on_fault;
    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGBUS, &action, &before_bus);
}

}  // namespace

void emu::watch_begin(double seconds) {
    install();
    watch.ended = ended;
    allowed = seconds;
    expired = 0;
    launching = pthread_self();
    active = 1;
    struct sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = time_signal();
    event.sigev_value.sival_ptr = &watch;
#ifdef sigev_notify_thread_id
    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
#else
    event._sigev_un._tid = (int)syscall(SYS_gettid);
#endif
    timed = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) == 0;
    struct itimerspec when = {};
    when.it_value.tv_sec = (time_t)seconds;
    when.it_value.tv_nsec = (long)((seconds - (double)when.it_value.tv_sec) * 1e9) + 1;
    when.it_interval.tv_sec = 1;  // again, should the first have come in the one moment it could not act
    if (timed) timer_settime(timer, 0, &when, nullptr);
}

void emu::watch_end() {
    active = 0;
    if (timed) timer_delete(timer);
    timed = false;
}

void emu::give_up(const void* place) { fail(nullptr, place, "it does not end within %g seconds", allowed); }
