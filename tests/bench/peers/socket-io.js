// Socket.IO: one `emit` to everyone.
import { Server } from 'socket.io';
import { createBroadcaster, listen } from './broadcast.js';

const server = createBroadcaster((text) => io.emit('notification', JSON.parse(text)));
const io = new Server(server, { transports: ['websocket'], perMessageDeflate: false });
listen(server);
