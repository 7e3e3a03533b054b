//! The edge service: transports, transactions, the proxy core, admission, and the legs of call-control.
