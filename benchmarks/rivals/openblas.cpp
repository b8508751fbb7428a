// OpenBLAS beside our float GEMM. It has no call that packs a constant matrix once, so it packs in every call.
#include <cblas.h>

#include <memory>

#include "protocol.h"

namespace {

struct Matrices {
  int m, n, k;
  std::vector<float> a, rows, columns, out;
};

Contender open(const Options& options) {
  auto x = std::make_shared<Matrices>();
  x->m = static_cast<int>(number(options, "m"));
  x->n = static_cast<int>(number(options, "n"));
  x->k = static_cast<int>(number(options, "k"));
  x->a = read<float>(options, "a");
  x->rows = read<float>(options, "w");  // [n][k]
  x->columns.resize(x->rows.size());    // [k][n]
  for (int j = 0; j < x->n; j++)
    for (int i = 0; i < x->k; i++) x->columns[size_t(i) * x->n + j] = x->rows[size_t(j) * x->k + i];
  x->out.resize(size_t(x->m) * x->n);
  const auto save = [x](const std::string& path) { write(path, x->out.data(), x->out.size() * sizeof(float)); };
  std::vector<Contender> ways;
  ways.push_back({"weights [k][n]",
                  [x] {
                    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, x->m, x->n, x->k, 1, x->a.data(), x->k,
                                x->columns.data(), x->n, 0, x->out.data(), x->n);
                  },
                  save});
  ways.push_back({"weights [n][k]",
                  [x] {
                    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, x->m, x->n, x->k, 1, x->a.data(), x->k,
                                x->rows.data(), x->k, 0, x->out.data(), x->n);
                  },
                  save});
  if (x->m == 1)
    ways.push_back({"sgemv",
                    [x] {
                      cblas_sgemv(CblasRowMajor, CblasNoTrans, x->n, x->k, 1, x->rows.data(), x->k, x->a.data(), 1,
                                  0, x->out.data(), 1);
                    },
                    save});
  return fastest(std::move(ways));
}

}  // namespace

int main() {
  std::istringstream config(openblas_get_config());
  std::string name, version;
  config >> name >> version;
  serve(version + " (" + openblas_get_corename() + ")", open);
}
