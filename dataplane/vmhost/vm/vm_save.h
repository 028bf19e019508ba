/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * vm_save - makes a change of a running VM's facts (its deadline) durable. Flows write the journal too; the two never do it at once: a save
 * that is wanted during a flow follows it, and a flow that writes first waits for a save under way.
 */
#include <stdbool.h>

struct vm;

void vm_save_kick(struct vm *v);   /* wanted: now or after what is under way */
void vm_save_resume(struct vm *v); /* a flow has ended */
bool vm_save_busy(const struct vm *v);
/* vms.c: the facts as of the last kick are durable (or could not be made so). */
void vm_saved(struct vm *v, int r);
