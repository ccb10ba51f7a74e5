-- Lists of one service type, for everybody and for one client: like the other two they hold nothing that an event changes.
CREATE INDEX shipments_by_service ON shipments (service_type, created_at, tracking_number);
CREATE INDEX shipments_by_client_and_service ON shipments (client_id, service_type, created_at, tracking_number);
