// Tables of 256 bytes by shuffles of 16, for x86; included where vb_sixteen, vb_shuffle and vb_lower are defined.

/** As far as whole vectors reach: out[i] = table[a[i]]; returns how many were done. out may be a. */
inline int64_t lookup_by_shuffles(const uint8_t* a, int64_t n, const uint8_t* table, uint8_t* out) {
  constexpr int TABLES = 16, SIZE = 16;  // a shuffle finds 16 bytes, and zeros for negative places
  if (n < 8 * WB) return 0;              // building them takes longer
  VB tables[TABLES];
  for (int i = 0; i < TABLES; i++) tables[i] = vb_sixteen(table + i * SIZE);
  // Places fall by 16 from table to table, so tables 0 to j are found at place 16 * j + k: they hold differences.
  for (int i = TABLES - 1; i > 0; i--)
    if (i != TABLES / 2) tables[i] = vb_xor(tables[i], tables[i - 1]);
  const VB size = vb_set(SIZE);
  int64_t done = 0;
  for (; done + WB <= n; done += WB) {
    VB low = vb_load(a + done), high = vb_xor(low, vb_set(0x80)), found = vb_set(0);
#pragma GCC unroll 8
    for (int i = 0; i < TABLES / 2; i++) {
      found = vb_xor(found, vb_shuffle(tables[i], low));
      found = vb_xor(found, vb_shuffle(tables[i + TABLES / 2], high));
      low = vb_lower(low, size);
      high = vb_lower(high, size);
    }
    vb_store(out + done, found);
  }
  return done;
}
