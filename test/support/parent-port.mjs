// Stands in for what Electron gives a utility process: messages of the process that started it, as events with data.
process.parentPort = {
  on: (event, use) => process.on(event, (data) => use({ data })),
  postMessage: (message) => process.send(message),
};
