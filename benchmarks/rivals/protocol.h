// How a rival takes turns: a line of options or a number of calls in, one line out.
//   version          -> ok VERSION
//   open KEY=VALUE.. -> ok WHAT, reads its data from files and prepares: weights packed, outputs made
//   run CALLS        -> ok MICROSECONDS per call, after an untimed one
//   save PATH        -> ok, writes the output of the last call
//   close            -> ok
// Anything that fails answers: error SENTENCE.
#pragma once

#include <chrono>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using Options = std::map<std::string, std::string>;

inline long number(const Options& options, const std::string& key) { return std::stol(options.at(key)); }

/** The whole file that the option names, as elements of T. */
template <class T>
std::vector<T> read(const Options& options, const std::string& key) {
  std::ifstream file(options.at(key), std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error("cannot read " + options.at(key));
  std::vector<T> data(static_cast<size_t>(file.tellg()) / sizeof(T));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(data.data()), static_cast<std::streamsize>(data.size() * sizeof(T)));
  return data;
}

inline void write(const std::string& path, const void* data, size_t bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  if (!file) throw std::runtime_error("cannot write " + path);
}

/** One way of doing what was asked; what it needs lives in its functions. */
struct Contender {
  std::string name;
  std::function<void()> call;
  std::function<void(const std::string& path)> save;
};

/** Microseconds per call. */
inline double timed(const Contender& contender, long calls) {
  contender.call();
  const auto start = std::chrono::steady_clock::now();
  for (long i = 0; i < calls; i++) contender.call();
  const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - start;
  return elapsed.count() / static_cast<double>(calls);
}

/** A rival at its best: of several ways the one that is fastest here. */
inline Contender fastest(std::vector<Contender> contenders) {
  constexpr int kTries = 5;
  size_t best = 0;
  double shortest = 0;
  for (size_t i = 0; i < contenders.size(); i++) {
    double time = timed(contenders[i], 1);
    for (int round = 1; round < kTries; round++) time = std::min(time, timed(contenders[i], 1));
    if (i == 0 || time < shortest) {
      best = i;
      shortest = time;
    }
  }
  return contenders.at(best);
}

inline void serve(const std::string& version, const std::function<Contender(const Options&)>& open) {
  Contender contender;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string verb, word;
    words >> verb;
    std::ostringstream answer;
    try {
      if (verb == "version") {
        answer << version;
      } else if (verb == "open") {
        Options options;
        while (words >> word) {
          const size_t at = word.find('=');
          options[word.substr(0, at)] = word.substr(at + 1);
        }
        contender = open(options);
        answer << contender.name;
      } else if (verb == "run") {
        words >> word;
        answer << timed(contender, std::stol(word));
      } else if (verb == "save") {
        words >> word;
        contender.save(word);
      } else if (verb == "close") {
        contender = {};
      } else {
        throw std::runtime_error("unknown verb " + verb);
      }
      std::cout << "ok " << answer.str() << std::endl;
    } catch (const std::exception& error) {
      std::cout << "error " << error.what() << std::endl;
    }
  }
}
