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
  add_quantized: {
    needs: ['level'],
    text: `/*
 * rne(fl(a * ra + fl(b * rb + fixed))), the products and what is added to them in float64, where the products are
 * exact.
 */
static void add_quantized(const uint8_t *a, float ra, const uint8_t *b, float rb, float fixed, int32_t low,
                          int32_t high, int32_t n, uint8_t *y)
{
    int32_t i;

    for (i = 0; i < n; i++) {
        volatile double sum = (double)b[i] * (double)rb + (double)fixed;
        volatile float part = (float)sum;

        sum = (double)a[i] * (double)ra + (double)part;
        part = (float)sum;
        y[i] = (uint8_t)level(part, 0, low, high);
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
