import type { Piece } from './piece.ts';

/** Rounding, limits and floats in byte buffers. */
export const NUMBERS = {
  get_float: {
    needs: [],
    text: `/* Floats are read and written byte by byte: buffers may lie anywhere and alias nothing. */
static float get_float(const uint8_t *x, int32_t i)
{
    float value;
    memcpy(&value, x + 4 * i, sizeof value);
    return value;
}`,
  },
  put_float: {
    needs: [],
    text: `static void put_float(uint8_t *y, int32_t i, float value)
{
    memcpy(y + 4 * i, &value, sizeof value);
}`,
  },
  rounded: {
    needs: [],
    text: `/* To float32 before anything else is done to it, whatever FLT_EVAL_METHOD and -ffp-contract say. */
static float rounded(float value)
{
    volatile float stored = value;
    return stored;
}`,
  },
  scaled: {
    needs: [],
    text: `/* fl(fl(x) * multiplier) in float32. */
static float scaled(int32_t x, float multiplier)
{
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
    return (float)x * multiplier;
#else
    volatile float product = (float)x;
    product = product * multiplier;
    return product;
#endif
}`,
  },
  level: {
    needs: [],
    text: `/*
 * clamp(rne(value) + zero, low, high), rne rounding half to even, in integers: no rounding mode, contraction or fast
 * mathematics can change it. NaN counts as 0.
 */
static int32_t level(float value, int32_t zero, int32_t low, int32_t high)
{
    uint32_t bits, magnitude;
    int32_t whole = 0;

    memcpy(&bits, &value, sizeof bits);
    magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        whole = 0;
    } else if (magnitude >= 0x4b000000u) { /* 2^23 and above lie outside every range */
        whole = 0x800000;
    } else if (magnitude > 0x3f000000u) { /* one half */
        const uint32_t shift = 150u - (magnitude >> 23);
        const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
        const uint32_t rest = mantissa << (32u - shift);

        whole = (int32_t)(mantissa >> shift);
        if (rest > 0x80000000u || (rest == 0x80000000u && (whole & 1)))
            whole++;
    }
    whole = (bits >> 31 ? -whole : whole) + zero;
    return whole < low ? low : whole > high ? high : whole;
}`,
  },
  quantized: {
    needs: ['level', 'rounded'],
    text: `static uint8_t quantized(float x, const quantizer *q)
{
    return (uint8_t)level(rounded(x / q->scale), q->zero, q->low, q->high);
}`,
  },
} satisfies Record<string, Piece>;
