/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* vm_reboot - a guest that resets itself comes back by a cold boot of its disk: a restored machine has no firmware to reboot into. */
struct vm;

void vm_reboot(struct vm *v);
