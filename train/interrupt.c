#include "train/interrupt.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t requested;
static struct sigaction previous_int, previous_term;

static void on_signal(int signal_number)
{
    (void)signal_number;
    requested = 1;
}

void interrupt_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND | SA_RESTART;
    sigemptyset(&action.sa_mask);
    requested = 0;
    sigaction(SIGINT, &action, &previous_int);
    sigaction(SIGTERM, &action, &previous_term);
}

void interrupt_restore(void)
{
    sigaction(SIGINT, &previous_int, NULL);
    sigaction(SIGTERM, &previous_term, NULL);
}

bool interrupt_requested(void)
{
    return requested != 0;
}
