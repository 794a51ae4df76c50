#include "train/interrupt.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t requested;
static struct sigaction previous_int, previous_term;

static void on_signal(int number)
{
    requested = 1;
    sigaction(number, number == SIGINT ? &previous_int : &previous_term, NULL);
}

/* A signal that is ignored (a background job's SIGINT) stays ignored. */
static void install(int number, struct sigaction *previous)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(number, NULL, previous);
    if (previous->sa_handler != SIG_IGN)
        sigaction(number, &action, NULL);
}

void interrupt_install(void)
{
    requested = 0;
    install(SIGINT, &previous_int);
    install(SIGTERM, &previous_term);
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
