/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * power - the end of the machine: users' processes are asked, then killed, disks are written and made read-only, then the kernel is told.
 * Comes from POST /agent/v1/shutdown, or from root in the guest by a signal to PID 1 (poweroff, reboot, halt and shutdown send it).
 */
#include "common/base/attr.h"

struct agent;
struct power;

enum power_mode { POWER_OFF, POWER_REBOOT };

int power_new(struct power **out, struct agent *a) must_check;
void power_free(struct power *p);
void power_begin(struct power *p, enum power_mode mode); /* once begun, it cannot be changed */
/* Nothing works any more (boot failed): says so, waits for the console, turns the machine off. */
no_return void power_fail(void);
