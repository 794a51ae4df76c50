#include "train/interrupt.h"

#include <signal.h>
#include <string.h>

/* Ctrl-C, a request to end, and a terminal that was closed. */
static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { SIGNALS = sizeof signals / sizeof *signals };

static volatile sig_atomic_t requested;
static struct sigaction previous[SIGNALS];

static void on_signal(int number)
{
    requested = 1;
    for (int i = 0; i < SIGNALS; i++)
        if (signals[i] == number)
            sigaction(number, &previous[i], NULL);
}

/* A signal that is ignored (a background job's SIGINT, SIGHUP under nohup) stays ignored. */
void interrupt_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    requested = 0;
    for (int i = 0; i < SIGNALS; i++) {
        sigaction(signals[i], NULL, &previous[i]);
        if (previous[i].sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

void interrupt_restore(void)
{
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &previous[i], NULL);
}

bool interrupt_requested(void)
{
    return requested != 0;
}
