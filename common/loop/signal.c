/* SPDX-License-Identifier: Apache-2.0 */
/* signal - signals as loop callbacks. A child made by fork() must set the defaults back before it execs (exec does it too). */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include "common/base/mem.h"
#include "common/loop/loop_internal.h"

struct signal_arg {
    signal_fn *fn;
    void *arg;
};

static void signal_on_event(evutil_socket_t signo, short what, void *arg)
{
    struct signal_arg *s = arg;

    (void) what;
    s->fn(s->arg, (int) signo);
}

int loop_signal(struct loop *l, int signo, signal_fn *fn, void *arg)
{
    struct signal_arg *s;
    struct event *ev;

    if (signo < 1 || signo >= _NSIG)
        return -EINVAL;
    if (l->signals[signo])
        return -EEXIST;
    s = xnew(struct signal_arg);
    *s = (struct signal_arg){fn, arg};
    ev = event_new(l->base, signo, EV_SIGNAL | EV_PERSIST, signal_on_event, s);
    if (!ev || event_add(ev, NULL) < 0) {
        if (ev)
            event_free(ev);
        free(s);
        return -ENOMEM;
    }
    l->signals[signo] = ev;
    return 0;
}

void loop_signals_deinit(struct loop *l)
{
    for (int i = 0; i < _NSIG; i++) {
        struct event *ev = l->signals[i];

        if (!ev)
            continue;
        free(event_get_callback_arg(ev));
        event_free(ev);
        l->signals[i] = NULL;
    }
}
