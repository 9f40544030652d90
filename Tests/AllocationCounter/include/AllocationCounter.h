// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <stdint.h>

/// Allocations that the calling thread has made since the process began; -1 where they aren't counted.
int64_t martlet_allocation_count(void);

/// Those of them that asked for zeroed memory, as the queues behind Swift's tasks do and Swift itself doesn't.
int64_t martlet_zeroed_allocation_count(void);
