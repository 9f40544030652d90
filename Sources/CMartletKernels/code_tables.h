// SPDX-License-Identifier: Apache-2.0
//
// What the codes of formats with a table stand for, moved so that none is negative.

#ifndef MARTLET_CODE_TABLES_H
#define MARTLET_CODE_TABLES_H

#include <stdint.h>

/// IQ4_NL's and IQ4_XS's numbers, -127 ... 113, plus 128; and the nibbles of each.
static const uint8_t martlet_iq4_codes[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
static const uint8_t martlet_iq4_low[16] = {1, 8, 13, 15, 15, 13, 10, 6, 1, 13, 9, 6, 5, 5, 9, 1};
static const uint8_t martlet_iq4_high[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13, 15};
/// Twice the numbers of E2M1 (two bits of exponent, one of mantissa), plus 16.
static const uint8_t martlet_e2m1_codes[16] = {16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4};

#endif
