import type { Piece } from './piece.ts';

/** Element by element. */
export const ELEMENTWISE = {
  quantize: {
    needs: ['get_float', 'quantized'],
    text: `static void quantize(const uint8_t *x, int32_t n, const quantizer *q, uint8_t *y)
{
    int32_t i;

    for (i = 0; i < n; i++)
        y[i] = quantized(get_float(x, i), q);
}`,
  },
  dequantize: {
    needs: ['put_float', 'rounded', 'scaled'],
    text: `static void dequantize(const uint8_t *x, int32_t n, float scale, int32_t zero, uint8_t *y)
{
    int32_t i;

    for (i = 0; i < n; i++)
        put_float(y, i, rounded(scaled(x[i] - zero, scale)));
}`,
  },
  exact_sum: {
    needs: ['level'],
    text: `#if DBL_MANT_DIG < 53
#error "Expected a double of IEEE 754"
#endif

/* rne(fl(a * ra + fl(b * rb + fixed))), inside fl() in float64, where the products are exact. */
static int32_t exact_sum(const addition *c, int32_t a, int32_t b, int32_t low, int32_t high)
{
    volatile double sum = (double)b * (double)c->rb + (double)c->fixed;
    volatile float part = (float)sum;

    sum = (double)a * (double)c->ra + (double)part;
    part = (float)sum;
    return level(part, 0, low, high);
}`,
  },
  add_quantized: {
    needs: ['exact_sum'],
    text: `/* In fixed point, with one half in the offset. Sums nearer to a tie than all roundings together are done exactly. */
static void add_quantized(const addition *c, const uint8_t *a, const uint8_t *b, int32_t low, int32_t high, int32_t n,
                          uint8_t *y)
{
    const uint32_t one = (uint32_t)1 << c->shift;
    int32_t i;

    for (i = 0; i < n; i++) {
        const int32_t sum = c->a * a[i] + c->b * b[i] + c->offset;
        const uint32_t rest = (uint32_t)sum & (one - 1u);
        int32_t whole = low;

        if (rest <= c->margin || rest >= one - c->margin)
            whole = exact_sum(c, a[i], b[i], low, high);
        else if (sum > 0)
            whole = sum >> c->shift;
        y[i] = (uint8_t)(whole < low ? low : whole > high ? high : whole);
    }
}`,
  },
  lookup: {
    needs: [],
    text: `static void lookup(const uint8_t *x, const uint8_t *table, int32_t n, uint8_t *y)
{
    int32_t i;

    for (i = 0; i < n; i++)
        y[i] = table[x[i]];
}`,
  },
  add_floats: {
    needs: ['get_float', 'put_float', 'limited'],
    text: `static void add_floats(const uint8_t *a, const uint8_t *b, float low, float high, int32_t n, uint8_t *y)
{
    int32_t i;

    for (i = 0; i < n; i++)
        put_float(y, i, limited(get_float(a, i) + get_float(b, i), low, high));
}`,
  },
  clamp: {
    needs: ['get_float', 'put_float', 'limited'],
    text: `static void clamp(const uint8_t *x, float low, float high, int32_t n, uint8_t *y)
{
    int32_t i;

    for (i = 0; i < n; i++)
        put_float(y, i, limited(get_float(x, i), low, high));
}`,
  },
  limited: {
    needs: [],
    text: `static float limited(float x, float low, float high)
{
    const float raised = x > low ? x : low;

    return raised < high ? raised : high;
}`,
  },
} satisfies Record<string, Piece>;
