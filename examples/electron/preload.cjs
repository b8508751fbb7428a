// All that the window may ask of the main process. CommonJS: preload scripts of sandboxed windows are.
const { contextBridge, ipcRenderer } = require('electron');

contextBridge.exposeInMainWorld('sigmaquant', {
  choose: (kind) => ipcRenderer.invoke('choose', kind),
  quantize: (options) => ipcRenderer.invoke('quantize', options),
  cancel: () => ipcRenderer.invoke('cancel'),
  show: (path) => ipcRenderer.invoke('show', path),
  onProgress: (use) => ipcRenderer.on('progress', (_, progress) => use(progress)),
});
