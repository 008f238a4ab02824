mod listen;
