-- What a node of version 0.1.0 had stored one afternoon: cases closed, referred and under way, work waiting and parked.
insert into "case_step" values (1,'case_vxgwk6ebp0d557aa','2026-03-10T04:00:01.000000Z','admission_reported','admitted','');
insert into "case_step" values (2,'case_vxgwk6ebp0d557aa','2026-03-10T04:00:02.000000Z','patient_discharged','discharged','');
insert into "case_step" values (3,'case_vxgwk6ebp0d557aa','2026-03-10T04:00:03.000000Z','bill_verified','verified','');
insert into "case_step" values (4,'case_vxgwk6ebp0d557aa','2026-03-10T04:00:03.000000Z','case_determined','determined','');
insert into "case_step" values (5,'case_vxgwk6ebp0d557aa','2026-03-10T04:00:03.000000Z','payout_confirmed','paid','');
insert into "case_step" values (6,'case_vxgwk6ebp0d557aa','2026-03-10T04:00:03.000000Z','everything_settled','closed','');
insert into "case_step" values (7,'case_9r0g43tde2qd9vvs','2026-03-10T04:00:04.000000Z','admission_reported','admitted','');
insert into "case_step" values (8,'case_9r0g43tde2qd9vvs','2026-03-10T04:00:05.000000Z','patient_discharged','discharged','');
insert into "case_step" values (9,'case_9r0g43tde2qd9vvs','2026-03-10T04:00:06.000000Z','bill_verified','verified','');
insert into "case_step" values (10,'case_9r0g43tde2qd9vvs','2026-03-10T04:00:06.000000Z','case_referred','referred','');
insert into "case_step" values (11,'case_7sazmwjs28k3ehcc','2026-03-10T04:00:06.000000Z','admission_reported','admitted','');
insert into "case_step" values (12,'case_8pq0kyhq32jhk6yw','2026-03-10T04:00:06.000000Z','admission_reported','admitted','');
insert into "case_step" values (13,'case_8pq0kyhq32jhk6yw','2026-03-10T04:00:06.000000Z','patient_discharged','discharged','');
insert into "case_step" values (14,'case_8pq0kyhq32jhk6yw','2026-03-10T04:00:06.000000Z','bill_verified','verified','');
insert into "case_step" values (15,'case_8pq0kyhq32jhk6yw','2026-03-10T04:00:06.000000Z','case_determined','determined','');
insert into "claim_case" values ('case_vxgwk6ebp0d557aa','person_pr4y0fp1eqqab8v5','H33020000001','ZY20260301','closed','{"kind":"inpatient","hospital":"H33020000001","person":{"identifiers":[{"kind":"resident_id","number":"11010519491231002X"}],"name":"测试甲","birth":"1949-12-31","sex":"F"},"admitted_at":"2026-03-03T00:40:00Z","discharged_at":"2026-03-06T07:05:00Z","disposition":"1","diagnoses":[{"code":"K80.100","role":"F","main":true}],"wards":[{"first_day":"2026-03-03","ward":"ordinary"}],"bills":[{"bill":{"code":"33060226","number":"0000000001","kind":"inpatient","on":"2026-03-06","total":100000,"lines":[{"no":1,"category":"05","catalogue_class":"甲","amount":100000,"on":"2026-03-04"}],"social":"settled","fund":40000,"other":0,"account":0,"cash":60000},"itemised":true,"issued_at":"2026-03-06T07:20:00Z"}]}','2026-03-10T04:00:01.000000Z','2026-03-10T04:00:03.000000Z',6);
insert into "claim_case" values ('case_9r0g43tde2qd9vvs','person_pr4y0fp1eqqab8v5','H33020000001','ZY2','referred','{"kind":"inpatient","hospital":"H33020000001","person":{"identifiers":[{"kind":"resident_id","number":"11010519491231002X"}],"name":"测试甲","birth":"1949-12-31","sex":"F"},"admitted_at":"2026-03-03T00:40:00Z","discharged_at":"2026-03-06T07:05:00Z","disposition":"1","diagnoses":[{"code":"K80.100","role":"F","main":true}],"wards":[{"first_day":"2026-03-03","ward":"ordinary"}],"bills":[{"bill":{"code":"33060226","number":"0000000002","kind":"inpatient","on":"2026-03-06","total":3000000,"lines":[{"no":1,"category":"05","catalogue_class":"甲","amount":3000000,"on":"2026-03-04"}],"social":"settled","fund":400000,"other":0,"account":0,"cash":2600000},"itemised":true,"issued_at":"2026-03-06T07:20:00Z"}]}','2026-03-10T04:00:04.000000Z','2026-03-10T04:00:06.000000Z',4);
insert into "claim_case" values ('case_7sazmwjs28k3ehcc','person_pr4y0fp1eqqab8v5','H33020000001','ZY3','admitted','{"kind":"inpatient","hospital":"H33020000001","person":{"identifiers":[{"kind":"resident_id","number":"11010519491231002X"}],"name":"测试甲","birth":"1949-12-31","sex":"F"},"admitted_at":"2026-03-03T00:40:00Z","diagnoses":[{"code":"K80.100","role":"A","main":true}],"wards":[{"first_day":"2026-03-03","ward":"ordinary"}]}','2026-03-10T04:00:06.000000Z',NULL,1);
insert into "claim_case" values ('case_8pq0kyhq32jhk6yw','person_gtk4w60v3vnx0d12','H33020000001','ZY4','determined','{"kind":"inpatient","hospital":"H33020000001","person":{"identifiers":[{"kind":"resident_id","number":"990000198005051241"}],"name":"测试丙","birth":"1980-05-05","sex":"F"},"admitted_at":"2026-03-03T00:40:00Z","discharged_at":"2026-03-06T07:05:00Z","disposition":"1","diagnoses":[{"code":"K80.100","role":"F","main":true}],"wards":[{"first_day":"2026-03-03","ward":"ordinary"}],"bills":[{"bill":{"code":"33060226","number":"0000000004","kind":"inpatient","on":"2026-03-06","total":100000,"lines":[{"no":1,"category":"05","catalogue_class":"甲","amount":100000,"on":"2026-03-04"}],"social":"settled","fund":40000,"other":0,"account":0,"cash":60000},"itemised":true,"issued_at":"2026-03-06T07:20:00Z"}]}','2026-03-10T04:00:06.000000Z','2026-03-10T04:00:06.000000Z',4);
insert into "clock" values (1,'case_vxgwk6ebp0d557aa','papers','2026-03-10T04:00:02.000000Z','2026-03-17',NULL,0,'2026-03-10T04:00:03.000000Z',NULL,0);
insert into "clock" values (2,'case_vxgwk6ebp0d557aa','payment','2026-03-10T04:00:03.000000Z','2026-03-20',NULL,0,'2026-03-10T04:00:03.000000Z',NULL,0);
insert into "clock" values (3,'case_9r0g43tde2qd9vvs','papers','2026-03-10T04:00:05.000000Z','2026-03-17',NULL,0,'2026-03-10T04:00:06.000000Z',NULL,0);
insert into "clock" values (4,'case_9r0g43tde2qd9vvs','decision','2026-03-10T04:00:06.000000Z','2026-04-09',NULL,0,NULL,'2026-03-25T10:00:03.000000Z',0);
insert into "clock" values (5,'case_9r0g43tde2qd9vvs','advance','2026-03-10T04:00:06.000000Z','2026-05-09',NULL,0,NULL,'2026-04-09T10:00:03.000000Z',0);
insert into "clock" values (6,'case_8pq0kyhq32jhk6yw','papers','2026-03-10T04:00:06.000000Z','2026-03-17',NULL,0,'2026-03-10T04:00:06.000000Z',NULL,0);
insert into "clock" values (7,'case_8pq0kyhq32jhk6yw','payment','2026-03-10T04:00:06.000000Z','2026-03-20',NULL,0,NULL,'2026-03-15T10:00:03.000000Z',0);
insert into "determination" values ('det_9ban42n4s9yks0v2','case_vxgwk6ebp0d557aa','policy_gac8er7qkegax9cw','person_pr4y0fp1eqqab8v5',1,'hospital-expense-2020','11fac35d85d8fc35a81b4a9daed776158b3ee1a3dc6e34b993891a909d8d4471','bfdb0a9743826adbfb2a302131cbbce6ea2eea56ce83c150c7dae0d91676e393','{"id":"det_9ban42n4s9yks0v2","kind":"inpatient","claimed_on":"2026-03-10","diagnoses":["K80.100"],"hospital":{"id":"H33020000001","level":3,"public":true,"region":"330200"},"bills":[{"code":"33060226","number":"0000000001","kind":"inpatient","on":"2026-03-06","total":100000,"lines":[{"no":1,"category":"05","catalogue_class":"甲","amount":100000,"on":"2026-03-04"}],"social":"settled","fund":40000,"other":0,"account":0,"cash":60000}],"admitted_on":"2026-03-03","discharged_on":"2026-03-06"}','{"birth":"1949-12-31","sex":"F","enrolled":true,"periods":[{"first_day":"2026-01-01","last_day":"2026-12-31","since":"2025-01-01"}]}','[]','{}','{"claim":"det_9ban42n4s9yks0v2","decision":"pay","payable":45000,"refer":[],"duplicates":[],"overlays":[],"benefits":[{"benefit":"inpatient","period":"2026-01-01","payable":45000,"payee":"insured"}],"lines":[{"benefit":"inpatient","period":"2026-01-01","bill":"33060226-0000000001","no":1,"amount":100000,"paid":45000,"cuts":[{"reason":"social_paid","amount":40000,"clause":"1.6"},{"reason":"deductible","amount":10000,"clause":"1.4"},{"reason":"copayment","amount":5000,"clause":"1.6"}]}],"usage":{"scopes":{"2026-01-01":{"limit":{"stay_year":45000}}}},"uses":{"scopes":{"2026-01-01":{"limit":{"stay_year":45000}}}},"bills":[{"code":"33060226","number":"0000000001","total":100000}]}','pay','machine','','',45000,'{"payable":45000,"uses":{"scopes":{"2026-01-01":{"limit":{"stay_year":45000}}}},"bills":[{"code":"33060226","number":"0000000001","total":100000}],"admitted_on":"2026-03-03","discharged_on":"2026-03-06","illness":"K80"}',1,0,NULL,'2026-03-10T04:00:03.000000Z','b2804b05f0c56307d10ded0e41acd5cb07ed685fa6fcd9c1af0b3c3c3fa19819','21482cbb55c6a24a446507fc8edfcefcc87bed833e85d3c47e631a884c9cb31f');
insert into "determination" values ('det_5dk6p41qzmh7h763','case_9r0g43tde2qd9vvs','policy_gac8er7qkegax9cw','person_pr4y0fp1eqqab8v5',2,'hospital-expense-2020','11fac35d85d8fc35a81b4a9daed776158b3ee1a3dc6e34b993891a909d8d4471','bfdb0a9743826adbfb2a302131cbbce6ea2eea56ce83c150c7dae0d91676e393','{"id":"det_5dk6p41qzmh7h763","kind":"inpatient","claimed_on":"2026-03-10","diagnoses":["K80.100"],"hospital":{"id":"H33020000001","level":3,"public":true,"region":"330200"},"bills":[{"code":"33060226","number":"0000000002","kind":"inpatient","on":"2026-03-06","total":3000000,"lines":[{"no":1,"category":"05","catalogue_class":"甲","amount":3000000,"on":"2026-03-04"}],"social":"settled","fund":400000,"other":0,"account":0,"cash":2600000}],"admitted_on":"2026-03-03","discharged_on":"2026-03-06"}','{"birth":"1949-12-31","sex":"F","enrolled":true,"periods":[{"first_day":"2026-01-01","last_day":"2026-12-31","since":"2025-01-01"}]}','[]','{"scopes":{"2026-01-01":{"limit":{"stay_year":45000}}}}','{"claim":"det_5dk6p41qzmh7h763","decision":"refer","payable":1455000,"refer":["above_authority","overlapping_stay"],"duplicates":[],"overlays":[],"benefits":[{"benefit":"inpatient","period":"2026-01-01","payable":1455000,"payee":"insured"}],"lines":[{"benefit":"inpatient","period":"2026-01-01","bill":"33060226-0000000002","no":1,"amount":3000000,"paid":1455000,"cuts":[{"reason":"social_paid","amount":400000,"clause":"1.6"},{"reason":"deductible","amount":10000,"clause":"1.4"},{"reason":"copayment","amount":259000,"clause":"1.6"},{"reason":"year_limit","amount":876000,"clause":"1.9"}]}],"usage":{"scopes":{"2026-01-01":{"limit":{"stay_year":45000}}}},"uses":{"scopes":{"2026-01-01":{"limit":{"stay_year":1455000}}}},"bills":[{"code":"33060226","number":"0000000002","total":3000000}]}','refer','machine','','overlapping_stay',1455000,NULL,0,1,NULL,'2026-03-10T04:00:06.000000Z','cf590bcc78a91c53c51a713b89809c8875f864e5131d88121d283e64862482fc','dfb47d60188ddd02507af5fe1bdf17e03bd9e4f3c3492a4ad74ad23f21eb3c72');
insert into "determination" values ('det_8atsnc5b9zj4wh6m','case_8pq0kyhq32jhk6yw','policy_bn70da29kzyg2b12','person_gtk4w60v3vnx0d12',1,'hospital-expense-2020','11fac35d85d8fc35a81b4a9daed776158b3ee1a3dc6e34b993891a909d8d4471','bfdb0a9743826adbfb2a302131cbbce6ea2eea56ce83c150c7dae0d91676e393','{"id":"det_8atsnc5b9zj4wh6m","kind":"inpatient","claimed_on":"2026-03-10","diagnoses":["K80.100"],"hospital":{"id":"H33020000001","level":3,"public":true,"region":"330200"},"bills":[{"code":"33060226","number":"0000000004","kind":"inpatient","on":"2026-03-06","total":100000,"lines":[{"no":1,"category":"05","catalogue_class":"甲","amount":100000,"on":"2026-03-04"}],"social":"settled","fund":40000,"other":0,"account":0,"cash":60000}],"admitted_on":"2026-03-03","discharged_on":"2026-03-06"}','{"birth":"1980-05-05","sex":"F","enrolled":true,"periods":[{"first_day":"2026-01-01","last_day":"2026-12-31","since":"2025-01-01"}]}','[]','{}','{"claim":"det_8atsnc5b9zj4wh6m","decision":"pay","payable":45000,"refer":[],"duplicates":[],"overlays":[],"benefits":[{"benefit":"inpatient","period":"2026-01-01","payable":45000,"payee":"insured"}],"lines":[{"benefit":"inpatient","period":"2026-01-01","bill":"33060226-0000000004","no":1,"amount":100000,"paid":45000,"cuts":[{"reason":"social_paid","amount":40000,"clause":"1.6"},{"reason":"deductible","amount":10000,"clause":"1.4"},{"reason":"copayment","amount":5000,"clause":"1.6"}]}],"usage":{"scopes":{"2026-01-01":{"limit":{"stay_year":45000}}}},"uses":{"scopes":{"2026-01-01":{"limit":{"stay_year":45000}}}},"bills":[{"code":"33060226","number":"0000000004","total":100000}]}','pay','machine','','',45000,'{"payable":45000,"uses":{"scopes":{"2026-01-01":{"limit":{"stay_year":45000}}}},"bills":[{"code":"33060226","number":"0000000004","total":100000}],"admitted_on":"2026-03-03","discharged_on":"2026-03-06","illness":"K80"}',1,0,NULL,'2026-03-10T04:00:06.000000Z','88960121a6bb6fba97cfd6ac7fb4cbfc9edb4adac5633207b45fcfd26a14641f','4f2a680864f7e9a01b2b293b2cb9220e1cae00f5bbec3decdf509eea0c8633a6');
insert into "event" values (1,'AdmissionReported','H33020000001/ZY20260301','2026-03-10T04:00:01.000000Z','{"type":"AdmissionReported","occurred_at":"2026-03-03T00:40:00Z","told_at":"2026-03-03T00:40:00Z","visit":"ZY20260301","sender":"H33020000001","hospital":"H33020000001","person":{"identifiers":[{"kind":"resident_id","number":"11010519491231002X"}],"name":"测试甲","birth":"1949-12-31","sex":"F"},"admitted_at":"2026-03-03T00:40:00Z","diagnoses":[{"code":"K80.100","role":"A","main":true}]}');
insert into "event" values (2,'VisitTold','','2026-03-10T04:00:01.000000Z','{"type":"VisitTold","sender":"H33020000001","visit":"ZY20260301"}');
insert into "event" values (3,'CaseOpened','case_vxgwk6ebp0d557aa','2026-03-10T04:00:01.000000Z','{"type":"CaseOpened","case":"case_vxgwk6ebp0d557aa"}');
insert into "event" values (4,'PatientDischarged','H33020000001/ZY20260301','2026-03-10T04:00:02.000000Z','{"type":"PatientDischarged","occurred_at":"2026-03-06T07:05:00Z","told_at":"2026-03-06T07:05:00Z","visit":"ZY20260301","sender":"H33020000001","hospital":"H33020000001","discharged_at":"2026-03-06T07:05:00Z","diagnoses":[{"code":"K80.100","role":"F","main":true}],"disposition":"1"}');
insert into "event" values (5,'VisitTold','','2026-03-10T04:00:02.000000Z','{"type":"VisitTold","sender":"H33020000001","visit":"ZY20260301"}');
insert into "event" values (6,'BillIssued','H33020000001/ZY20260301','2026-03-10T04:00:03.000000Z','{"type":"BillIssued","occurred_at":"2026-03-06T07:20:00Z","told_at":"2026-03-06T07:20:00Z","visit":"ZY20260301","sender":"H33020000001","hospital":"H33020000001","bill":{"code":"33060226","number":"0000000001","kind":"inpatient","on":"2026-03-06","total":100000,"lines":[{"no":1,"category":"05","catalogue_class":"甲","amount":100000,"on":"2026-03-04"}],"social":"settled","fund":40000,"other":0,"account":0,"cash":60000},"itemised":true}');
insert into "event" values (7,'VisitTold','','2026-03-10T04:00:03.000000Z','{"type":"VisitTold","sender":"H33020000001","visit":"ZY20260301"}');
insert into "event" values (8,'CaseReady','case_vxgwk6ebp0d557aa','2026-03-10T04:00:03.000000Z','{"type":"CaseReady","case":"case_vxgwk6ebp0d557aa"}');
insert into "event" values (9,'DeterminationMade','case_vxgwk6ebp0d557aa','2026-03-10T04:00:03.000000Z','{"type":"DeterminationMade","case":"case_vxgwk6ebp0d557aa","determination":"det_9ban42n4s9yks0v2","policy":"policy_gac8er7qkegax9cw","person":"person_pr4y0fp1eqqab8v5","decision":"pay","payable":45000,"payee":"insured","bank":"main"}');
insert into "event" values (10,'PayoutOrdered','case_vxgwk6ebp0d557aa','2026-03-10T04:00:03.000000Z','{"type":"PayoutOrdered","payout":"pay_tbwp38634vghmj7c","case":"case_vxgwk6ebp0d557aa","amount":45000}');
insert into "event" values (11,'PayoutConfirmed','case_vxgwk6ebp0d557aa','2026-03-10T04:00:03.000000Z','{"type":"PayoutConfirmed","payout":"pay_tbwp38634vghmj7c","case":"case_vxgwk6ebp0d557aa","amount":45000,"paid_at":"2026-03-10T04:00:03Z"}');
insert into "event" values (12,'CaseSettled','case_vxgwk6ebp0d557aa','2026-03-10T04:00:03.000000Z','{"type":"CaseSettled","case":"case_vxgwk6ebp0d557aa"}');
insert into "event" values (13,'AdmissionReported','H33020000001/ZY2','2026-03-10T04:00:04.000000Z','{"type":"AdmissionReported","occurred_at":"2026-03-03T00:40:00Z","told_at":"2026-03-03T00:40:00Z","visit":"ZY2","sender":"H33020000001","hospital":"H33020000001","person":{"identifiers":[{"kind":"resident_id","number":"11010519491231002X"}],"name":"测试甲","birth":"1949-12-31","sex":"F"},"admitted_at":"2026-03-03T00:40:00Z","diagnoses":[{"code":"K80.100","role":"A","main":true}]}');
insert into "event" values (14,'VisitTold','','2026-03-10T04:00:04.000000Z','{"type":"VisitTold","sender":"H33020000001","visit":"ZY2"}');
insert into "event" values (15,'CaseOpened','case_9r0g43tde2qd9vvs','2026-03-10T04:00:04.000000Z','{"type":"CaseOpened","case":"case_9r0g43tde2qd9vvs"}');
insert into "event" values (16,'PatientDischarged','H33020000001/ZY2','2026-03-10T04:00:05.000000Z','{"type":"PatientDischarged","occurred_at":"2026-03-06T07:05:00Z","told_at":"2026-03-06T07:05:00Z","visit":"ZY2","sender":"H33020000001","hospital":"H33020000001","discharged_at":"2026-03-06T07:05:00Z","diagnoses":[{"code":"K80.100","role":"F","main":true}],"disposition":"1"}');
insert into "event" values (17,'VisitTold','','2026-03-10T04:00:05.000000Z','{"type":"VisitTold","sender":"H33020000001","visit":"ZY2"}');
insert into "event" values (18,'BillIssued','H33020000001/ZY2','2026-03-10T04:00:06.000000Z','{"type":"BillIssued","occurred_at":"2026-03-06T07:20:00Z","told_at":"2026-03-06T07:20:00Z","visit":"ZY2","sender":"H33020000001","hospital":"H33020000001","bill":{"code":"33060226","number":"0000000002","kind":"inpatient","on":"2026-03-06","total":3000000,"lines":[{"no":1,"category":"05","catalogue_class":"甲","amount":3000000,"on":"2026-03-04"}],"social":"settled","fund":400000,"other":0,"account":0,"cash":2600000},"itemised":true}');
insert into "event" values (19,'VisitTold','','2026-03-10T04:00:06.000000Z','{"type":"VisitTold","sender":"H33020000001","visit":"ZY2"}');
insert into "event" values (20,'CaseReady','case_9r0g43tde2qd9vvs','2026-03-10T04:00:06.000000Z','{"type":"CaseReady","case":"case_9r0g43tde2qd9vvs"}');
insert into "event" values (21,'DeterminationMade','case_9r0g43tde2qd9vvs','2026-03-10T04:00:06.000000Z','{"type":"DeterminationMade","case":"case_9r0g43tde2qd9vvs","determination":"det_5dk6p41qzmh7h763","policy":"policy_gac8er7qkegax9cw","person":"person_pr4y0fp1eqqab8v5","decision":"refer","payable":1455000,"payee":"insured","bank":"main"}');
insert into "event" values (22,'AdmissionReported','H33020000001/ZY3','2026-03-10T04:00:06.000000Z','{"type":"AdmissionReported","occurred_at":"2026-03-03T00:40:00Z","told_at":"2026-03-03T00:40:00Z","visit":"ZY3","sender":"H33020000001","hospital":"H33020000001","person":{"identifiers":[{"kind":"resident_id","number":"11010519491231002X"}],"name":"测试甲","birth":"1949-12-31","sex":"F"},"admitted_at":"2026-03-03T00:40:00Z","diagnoses":[{"code":"K80.100","role":"A","main":true}]}');
insert into "event" values (23,'VisitTold','','2026-03-10T04:00:06.000000Z','{"type":"VisitTold","sender":"H33020000001","visit":"ZY3"}');
insert into "event" values (24,'CaseOpened','case_7sazmwjs28k3ehcc','2026-03-10T04:00:06.000000Z','{"type":"CaseOpened","case":"case_7sazmwjs28k3ehcc"}');
insert into "event" values (25,'AdmissionReported','H33020000001/ZY4','2026-03-10T04:00:06.000000Z','{"type":"AdmissionReported","occurred_at":"2026-03-03T00:40:00Z","told_at":"2026-03-03T00:40:00Z","visit":"ZY4","sender":"H33020000001","hospital":"H33020000001","person":{"identifiers":[{"kind":"resident_id","number":"990000198005051241"}],"name":"测试丙","birth":"1980-05-05","sex":"F"},"admitted_at":"2026-03-03T00:40:00Z","diagnoses":[{"code":"K80.100","role":"A","main":true}]}');
insert into "event" values (26,'VisitTold','','2026-03-10T04:00:06.000000Z','{"type":"VisitTold","sender":"H33020000001","visit":"ZY4"}');
insert into "event" values (27,'CaseOpened','case_8pq0kyhq32jhk6yw','2026-03-10T04:00:06.000000Z','{"type":"CaseOpened","case":"case_8pq0kyhq32jhk6yw"}');
insert into "event" values (28,'PatientDischarged','H33020000001/ZY4','2026-03-10T04:00:06.000000Z','{"type":"PatientDischarged","occurred_at":"2026-03-06T07:05:00Z","told_at":"2026-03-06T07:05:00Z","visit":"ZY4","sender":"H33020000001","hospital":"H33020000001","discharged_at":"2026-03-06T07:05:00Z","diagnoses":[{"code":"K80.100","role":"F","main":true}],"disposition":"1","person":{"identifiers":[{"kind":"resident_id","number":"990000198005051241"}],"name":"测试丙","birth":"1980-05-05","sex":"F"}}');
insert into "event" values (29,'VisitTold','','2026-03-10T04:00:06.000000Z','{"type":"VisitTold","sender":"H33020000001","visit":"ZY4"}');
insert into "event" values (30,'BillIssued','H33020000001/ZY4','2026-03-10T04:00:06.000000Z','{"type":"BillIssued","occurred_at":"2026-03-06T07:20:00Z","told_at":"2026-03-06T07:20:00Z","visit":"ZY4","sender":"H33020000001","hospital":"H33020000001","bill":{"code":"33060226","number":"0000000004","kind":"inpatient","on":"2026-03-06","total":100000,"lines":[{"no":1,"category":"05","catalogue_class":"甲","amount":100000,"on":"2026-03-04"}],"social":"settled","fund":40000,"other":0,"account":0,"cash":60000},"itemised":true,"person":{"identifiers":[{"kind":"resident_id","number":"990000198005051241"}],"name":"测试丙","birth":"1980-05-05","sex":"F"}}');
insert into "event" values (31,'VisitTold','','2026-03-10T04:00:06.000000Z','{"type":"VisitTold","sender":"H33020000001","visit":"ZY4"}');
insert into "event" values (32,'CaseReady','case_8pq0kyhq32jhk6yw','2026-03-10T04:00:06.000000Z','{"type":"CaseReady","case":"case_8pq0kyhq32jhk6yw"}');
insert into "event" values (33,'DeterminationMade','case_8pq0kyhq32jhk6yw','2026-03-10T04:00:06.000000Z','{"type":"DeterminationMade","case":"case_8pq0kyhq32jhk6yw","determination":"det_8atsnc5b9zj4wh6m","policy":"policy_bn70da29kzyg2b12","person":"person_gtk4w60v3vnx0d12","decision":"pay","payable":45000,"payee":"insured","bank":"main"}');
insert into "event" values (34,'PayoutOrdered','case_8pq0kyhq32jhk6yw','2026-03-10T04:00:06.000000Z','{"type":"PayoutOrdered","payout":"pay_j37mmdx4qz265xa3","case":"case_8pq0kyhq32jhk6yw","amount":45000}');
insert into "event" values (35,'AdmissionReported','H33020000001/ZY5','2026-03-10T04:00:06.000000Z','{"type":"AdmissionReported","occurred_at":"2026-03-03T00:40:00Z","told_at":"2026-03-03T00:40:00Z","visit":"ZY5","sender":"H33020000001","hospital":"H33020000001","person":{"identifiers":[{"kind":"resident_id","number":"990000198005051241"}],"name":"测试丙","birth":"1980-05-05","sex":"F"},"admitted_at":"2026-03-03T00:40:00Z","diagnoses":[{"code":"K80.100","role":"A","main":true}]}');
insert into "event" values (36,'VisitTold','','2026-03-10T04:00:06.000000Z','{"type":"VisitTold","sender":"H33020000001","visit":"ZY5"}');
insert into "event" values (37,'PersonsMerged','H33020000001','2026-03-10T04:00:06.000000Z','{"type":"PersonsMerged","occurred_at":"2026-03-04T04:00:00Z","told_at":"2026-03-04T04:00:00Z","sender":"H33020000001","hospital":"H33020000001","survivor":{"identifiers":[{"kind":"resident_id","number":"34052419800101001X"}],"name":"测试乙","birth":"1980-01-01","sex":"M"},"retired":{"identifiers":[{"kind":"resident_id","number":"34052419800101001X"}],"name":"测试乙","birth":"1980-01-01","sex":"M"}}');
insert into "event" values (38,'CaseReady','case_9r0g43tde2qd9vvs','2026-03-10T04:00:06.000000Z','{"type":"CaseReady","case":"case_9r0g43tde2qd9vvs"}');
insert into "hospital" values ('H33020000001','1900-01-01','示例市第一医院','First Hospital',3,1,'330200');
insert into "inbound_message" values (1,'H33020000001','message-1','119d466bd190d78aa071a80543758dc88845723f0a446119ae760f9879ded2bd','fhir','test','taken','2026-03-03T00:40:00.000000Z',NULL,'2026-03-10T04:00:01.000000Z',1,NULL,NULL,X'78017D50414EC33010FCCB9E13B4760AA2B971E1C2ADEA015A45951B2F6505B623DB41A0282FE00AEF4042E24BC03358973B920FD6CCECCECC6EC1514AE640B5826A82FC3C10B470611DA7C4C1AF68083193850A42DF8F3192DD992C0A8DFAACC646DE1AB15D608BB811D123272EF4E6A608B041D90A03C5143CB413B0259FF9960580763BC13D7B2BEA48E9C8ECB818F9D1ED290AAC142A3C55CBC552E94621EA6B983BE18D2B19BF3E5F7EDEDFBE5F3F6464CF31DF9509D1D64AD74DB14DF424D025CC1518E993A5C6BFD92D9B830F89FEA2F5C11697AB733C116B5917C3C3F134F27586A54E8E23CDDDDCFD020D8161F6');
insert into "inbound_message" values (2,'H33020000001','message-2','02638cf79f32c54d1bafc110e8a324885046446914d0153eaed234b1dc804c47','fhir','test','taken','2026-03-06T07:05:00.000000Z',NULL,'2026-03-10T04:00:02.000000Z',1,NULL,NULL,X'78017D8EC10E82300C86DFA5673005229A9D8D172E1EBC082166D91A6C228C6CC3C410DEDDCE83476FCDD7AF7FFF0E460A410F949790AD10DF3381828B8E4C533C71300FED07B290813366F19EEC5D47314A2CEB1CAB1CEB2B1E14EE15622BD28B03A7757B4B02565808B4BF98BFB796F530B9400154B782713635698EB82B1025C5BB6702671947CD13A8E817DAFA6FFCECE42D3B8150C0D67F0086333ED8');
insert into "inbound_message" values (3,'H33020000001','message-3','8b4e05291008eb0aca052bb85a96d0653b6a9152a74ceec02a96e35e05eb86ef','fhir','test','taken','2026-03-06T07:20:00.000000Z',NULL,'2026-03-10T04:00:03.000000Z',1,NULL,NULL,X'78015590C14EC3300C86DFC5E754F2DA51A41CB971E7C2A669CA52D345A4C9543B4853D5B7E04978295E0367081039399F7FFFBF933D4CC4EC466A3A300BC8F54260E121C4F8C85C680003D9FB32CF341C9D68ABC5B66FB06BB07FC27BDBA245DCA9E82D70A8EDDD731560871B8527B501BB80CF4375ED3AECB16D7BEDA4329D6856863FA7EA5F431A94857471122889A29C14FC652A912C4E5D37B74103312462B0FB0552566AC03BA131CFD76A7EA77ABDBB98C742471F1DAB143EDF3F94BB29178DF835FA9FB485F56080B30F350C9844E2ED375E4ADD715BD3753B39D75768E5BCFFB6D3DA3B3E83EDAB64351084A6C03A6B652EB41EBE0042266AF5');
insert into "inbound_message" values (4,'H33020000001','message-4','b36755a28c827c4886ba310ddc8a9b35276770c15de1f98e93c5c9dc838b230e','fhir','test','taken','2026-03-03T00:40:00.000000Z',NULL,'2026-03-10T04:00:04.000000Z',1,NULL,NULL,X'78017D50414EC4300CFC8BCF2D72D282D8DCB870E18638C0AEAA55B6318B0549AA2445A0AA2FE00AEF4042E24BC03370973B520ECECCD833F6063CE56CF754B7504D509E07020367CE73CE1CC3250D3115725041ECFB3125725B5B44A1519FD4D8C8BB42342D1AC4B5881E39F342AF6FB4FC064A39063013B0A350F8960500B399E09E831359A27C60B6BC3884D1EF2809AC142A3C56AB76A574A310F535CC9DF0D62FE1BE3E5F7EDEDFBE5F3FA465C7A9DC2D1DA2AD95AE1B2560A62781CE61AEC0CA2245F2FF1BDAB1DD8798E92F5A1FDDE272718A47622DE3527C38DC444A6F59D62969A4B99BBB5F17B8609D');
insert into "inbound_message" values (5,'H33020000001','message-5','588e1dc0f867bf5e2a289a90299b38ed7b41c5f1d8fed6af1faeb3d8a7303ab0','fhir','test','taken','2026-03-06T07:05:00.000000Z',NULL,'2026-03-10T04:00:05.000000Z',1,NULL,NULL,X'78017D4E3D0F823010FD2F37833930A0E96C5C581C5C8410D3B417BC445AD2161343F8EF1E0E8E6EEFDEBDAF0E468A510F9457902D90DE1381828B4E4C2E9D389A870E0359C8C01B338740F6AE93284A2CEB1CF739D6573C28AC14622BA21747DEDEEDAD94CBFEFC7F4D96F5E07CA408AA5BC078BB4D688EB82B102525F8E7469C058E9A1DA814665AFB6FFCE4A58FBD9050C0DA7F0025823D7F');
insert into "inbound_message" values (6,'H33020000001','message-6','0ba7f495dc8fd2a0f4c5e07f1cb6d9e37f21e9103d5a5b6cfe83c7e5833d47dc','fhir','test','taken','2026-03-06T07:20:00.000000Z',NULL,'2026-03-10T04:00:06.000000Z',1,NULL,NULL,X'78015550CD6AC3300C7E179D1DF09C2E031F77DB7D97B594E23A5A6AE6D825920B25E42DFA247BA9BDC6E49451A693F5E9FB91B5831189DC804D076A06BE9E112CBC8618DF880AF6A0207B5FA609FB836319196DBA46B78DEEDEF58B35DA6ABD15D22550A8E3ED8791EE287AB033F8DC57BBB6D59D3646122095F1889360FAAF2AFF2BA45EB090CE8E0326162827011E6182706627AEED5DA820868404763743CA609F1478C738E4E95ADD9F4520BD8B792878F0D19150E1E7F62DB81B73918C87D3FFAC0D2C7B05947DA87140C81CD7437C96BAE566CD9705F9543FA2C5CFFBBBA1BCBDA31358D3ADA44541601C0389DCF25470D9FF02FFDE6A93');
insert into "inbound_message" values (7,'H33020000001','message-7','978c6900e21252a4047856c387398b6f9359efc234bc9e9ede7ec213a019c1e7','fhir','test','taken','2026-03-03T00:40:00.000000Z',NULL,'2026-03-10T04:00:06.000000Z',1,NULL,NULL,X'78017D50CB4EC4300CFC179F5BE4B4CB6373E3C2851BE200BBAA56D9C6BB5890A44A5204AAFA055CE13B9090F825E03370963B520ECECCD833F61A1CA564F6549F4235417E1E08349C5BC72971F057348498C94205A1EFC718C96E4C164583CD498DADBC6B44BD408DB812D123272EF4EAB695DF4031050F7A02B6E433EF5800D0EB09EED95B91454A0766C3C5C18F6E4B5160A550E1B15A2E96AA69156273037327BC7125DCD7E7CBCFFBDBF7EB87B46C39E6BBD221DA5A3575AB044CF424D005CC151859244BFE7F435B367B1F12FD45EB832D2E97677824D6322E8687C34DA47486659D1C479ABBB9FB051C3160A1');
insert into "inbound_message" values (8,'H33020000001','message-8','191fa50cdf3018f708e1429efab7ae3a15e7aaf4ae5c92bbab016c0843a78aec','fhir','test','taken','2026-03-03T00:40:00.000000Z',NULL,'2026-03-10T04:00:06.000000Z',1,NULL,NULL,X'78017D90314EC4301045EF327582262141893B1A1A3A44C3AEA295371E9611D88E6C0781A29C809A825350217120843806E3A5C79AC27EFFDBF3C75BB014A33E50D941B1407A9E08149C1BCB31B2775734F990C840017E1CE710C8EC7412478DF55989A752D788AA4185B811D32347CEF2E6A691D344217A076A0136E412DFB20050DB05EED919B1058A4765C7B9839BED9E82E0BE475955DF21B6D8567553C13A88AE6D0EF7FDF1F2F3FEFAF5F92657F61CD29DB0EC2DB1951218E949D005AC0568192449FE7F431BD607E723FD451BBDC95D2E3B3CA910E5B9E01F8E7F225BAB59C64961A67558875F12EF608F');
insert into "inbound_message" values (9,'H33020000001','message-9','3278991bab52b4fcd1638c92661bd17152c4da6c9d23ffad65129d5951a26d05','fhir','test','taken','2026-03-06T07:05:00.000000Z',NULL,'2026-03-10T04:00:06.000000Z',1,NULL,NULL,X'78017D4FBD4EC330107E979B1B740E4D693CA32E2C0C2CB4AA2A373ED213C48E6C0781A23C0133034FC184C40321C46370CEC088E5C1F7FD9E77D0518CA6A5A286C508E9B927D0706D12934B971C9B93092D5958806F9A2104B20793445162B92AF0BCC0D50D5E68AC34E256448F1C39D3DBDBA54CF6CFFFAFC9B2699D8F1441EF4668BCCD2B5CADF14C214A4AF00F19D8C8B333EC40A730D0B49FE37B2F7DEC0504257C4F21E66104B6B23FDFB10073EA3D3B2BA24071660E9CBFE486EE4841E0BA4639AA5E235658A972A9201738D3E5E6EF8F979FF7D7AFCF37B11C39A4536E136D81955C01233D09B48169DAFF024C1D6718');
insert into "inbound_message" values (10,'H33020000001','message-10','74c31071d0cdb6fd1898882453683c69e21b1dbc27228bf68d54d9b961a686ae','fhir','test','taken','2026-03-06T07:20:00.000000Z',NULL,'2026-03-10T04:00:06.000000Z',1,NULL,NULL,X'78015550C14EC3300CFD179F3BC9EDDAC27AE480C49D0B9BA6294BBDCDA24DA624454C55BF802B1CF80A2424243E08019F815360882807FBF9F93DDB0B68C97BB5A5498A90F4100E7B820ACEB8692EBCEFA88604ACD69D7354AF549052865939C1E904CB4B3CA932AC10E742BA61CFB13CBFCA255B4B3F543D685B47B9E9144BCCB2522AA66BD7E404C3DF17F9D76C6AC1D8EC55603241206B04F8331324D8A044351D1B1368D890876AD183B18226A055A0AD7587285E085F72D5D86D472BDD282F54F8B87F165CB5B6138BA3D07FA71C866502DE6A8E66E02984663CC3A68B33E6D15DA60BBBB885444AEB6F3989B5F23BA8CA481912E0402D7BE9AD82EB28813D391FBD7AE05A76E40D0B302EF0B3BE233F56561CCF7EBCD46C1605D3D9296281459AE5E938A2516DBCEDFBCBDDE7D3C3DBEBA3B4ACD9051900227782857C013DDD0A740EC3B0FC02FC12935F');
insert into "inbound_message" values (11,'H33020000001','late-11','afda3ecde83b93e0b5d2863f599316732867417db07a68552fd125ede15ae218','fhir','test','taken','2026-03-03T00:40:00.000000Z',NULL,'2026-03-10T04:00:06.000000Z',1,NULL,NULL,X'78017D90B14EC3301086DFE5E6049D435335DE5858D8100BADA2CA8D0F38D1D891ED20509427E8CCC0533021F5812AC463702E3BD60DF6F7FFF6FDE70DEC4DA252292826486F0381862BDB738CECDD2D0D3E24B25080EFBA3104B25B93C45161B52CF152EA0E512F5023AEC5F4C291B3BCBEAFE5345088DE819E802DB9C40F2C00F466826776566C81E259D972EEE0C67E474170D3A02CD5AC106BAC55B55030B7A29B3E87FBFE3AFC7CBE9F8E1F7265C7213D09CBDE126B2981915E055DC35C80914192E4FF37B465F3E87CA4BF689DB7B9CBCD0A2F14A23C17FCFEFC27B2ED0DCB38298C34B773FB0BC0C95F7B');
insert into "inbound_message" values (12,'H33020000001','late-12','0a33fc439deba80c512d9c2680e8eb8a28ab0753d45ce4c63b6d3e226b5ced71','fhir','test','taken','2026-03-04T04:00:00.000000Z',NULL,'2026-03-10T04:00:06.000000Z',1,NULL,NULL,X'7801C54E3B0AC24010BDCBD409CC6EA2E8DE216061218610F21975D124B2BB094AC809AC2D3C859585F711F1184EBC84CCABE67D6338648E7C21C1EBC19D8F040A16646C53DB88CC964AF0A0298AD6182AD3CC312B514E7D0C7C0C97182A44C69A45B6359DEE1A03AA075D52EDF446730EA8B887BDAE4B761AB23F26D5636ADD5639B11C8210273214F319A2E043B18221613EABC631EFC7E573BFBE9E37B6E4DAB81DFF46AD8F823116D3895F110C1E1738CD3BFF376148BE01136A6C');
insert into "inbound_message" values (13,'H33020000001','021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96','021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96','','','refused',NULL,NULL,'2026-03-10T04:00:06.000000Z',0,'{"what":"Input data was truncated; send JSON as FHIR R4 says","line":1}',NULL,X'7801AB0600007C007C');
insert into "insured_change" values (1,'policy_gac8er7qkegax9cw','person_pr4y0fp1eqqab8v5','self',1,NULL,NULL,NULL,NULL,'2026-03-10T04:00:00.000000Z');
insert into "insured_change" values (2,'policy_me8y3td0tnh46r3q','person_n668b1m8z8tyqtzz','self',1,NULL,NULL,NULL,NULL,'2026-03-10T04:00:03.000000Z');
insert into "insured_change" values (3,'policy_bn70da29kzyg2b12','person_gtk4w60v3vnx0d12','self',1,NULL,NULL,NULL,NULL,'2026-03-10T04:00:06.000000Z');
insert into "journal_entry" values ('claim_ordered:pay_tbwp38634vghmj7c',1,'claims_incurred',45000,'pay_tbwp38634vghmj7c',NULL,'2026-03-10T04:00:03.000000Z');
insert into "journal_entry" values ('claim_ordered:pay_tbwp38634vghmj7c',2,'claims_payable',-45000,'pay_tbwp38634vghmj7c',NULL,'2026-03-10T04:00:03.000000Z');
insert into "journal_entry" values ('payout_paid:pay_tbwp38634vghmj7c',1,'claims_payable',45000,'pay_tbwp38634vghmj7c',NULL,'2026-03-10T04:00:03.000000Z');
insert into "journal_entry" values ('payout_paid:pay_tbwp38634vghmj7c',2,'bank',-45000,'pay_tbwp38634vghmj7c',NULL,'2026-03-10T04:00:03.000000Z');
insert into "journal_entry" values ('claim_ordered:pay_j37mmdx4qz265xa3',1,'claims_incurred',45000,'pay_j37mmdx4qz265xa3',NULL,'2026-03-10T04:00:06.000000Z');
insert into "journal_entry" values ('claim_ordered:pay_j37mmdx4qz265xa3',2,'claims_payable',-45000,'pay_j37mmdx4qz265xa3',NULL,'2026-03-10T04:00:06.000000Z');
insert into "letter" values ('letter_tbwp38634vghmj7c','case_vxgwk6ebp0d557aa','det_9ban42n4s9yks0v2','zh','paid','{"id":"letter_tbwp38634vghmj7c","case":"case_vxgwk6ebp0d557aa","kind":"paid","made_on":"2026-03-10","insured":"测试甲","product":{"zh":"hospital-expense-2020"},"policy":"P-1","event":"inpatient","determination":"det_9ban42n4s9yks0v2","hospital":{"zh":"示例市第一医院","en":"First Hospital"},"payable":45000,"payee":{"name":"测试甲","last4":"0018"},"contacts":{"insurer":{"zh":"安织健康保险股份有限公司","en":"Anzhi Health Insurance Co., Ltd."}}}','2026-03-10T04:00:03.000000Z');
insert into "letter" values ('letter_rmj0w1n4hehaw66w','case_9r0g43tde2qd9vvs','det_5dk6p41qzmh7h763','zh','referred','{"id":"letter_rmj0w1n4hehaw66w","case":"case_9r0g43tde2qd9vvs","kind":"referred","made_on":"2026-03-10","insured":"测试甲","product":{"zh":"hospital-expense-2020"},"policy":"P-1","event":"inpatient","determination":"det_5dk6p41qzmh7h763","hospital":{"zh":"示例市第一医院","en":"First Hospital"},"payable":1455000,"payee":{"name":"测试甲","last4":"0018"},"refer":["above_authority","overlapping_stay"],"due_on":"2026-04-09","contacts":{"insurer":{"zh":"安织健康保险股份有限公司","en":"Anzhi Health Insurance Co., Ltd."}}}','2026-03-10T04:00:06.000000Z');
insert into "letter" values ('letter_j37mmdx4qz265xa3','case_8pq0kyhq32jhk6yw','det_8atsnc5b9zj4wh6m','zh','paid','{"id":"letter_j37mmdx4qz265xa3","case":"case_8pq0kyhq32jhk6yw","kind":"paid","made_on":"2026-03-10","insured":"测试丙","product":{"zh":"hospital-expense-2020"},"policy":"P-3","event":"inpatient","determination":"det_8atsnc5b9zj4wh6m","hospital":{"zh":"示例市第一医院","en":"First Hospital"},"payable":45000,"payee":{"name":"测试丙","last4":"0018"},"contacts":{"insurer":{"zh":"安织健康保险股份有限公司","en":"Anzhi Health Insurance Co., Ltd."}}}','2026-03-10T04:00:06.000000Z');
insert into "paid_bill" values ('33060226-0000000001','det_9ban42n4s9yks0v2','case_vxgwk6ebp0d557aa');
insert into "paid_bill" values ('33060226-0000000004','det_8atsnc5b9zj4wh6m','case_8pq0kyhq32jhk6yw');
insert into "payee_change" values (1,'policy_gac8er7qkegax9cw','person_pr4y0fp1eqqab8v5','insured','测试甲','6222020000000000018','102332000018','2026-03-10T04:00:00.000000Z');
insert into "payee_change" values (2,'policy_me8y3td0tnh46r3q','person_n668b1m8z8tyqtzz','insured','测试乙','6222020000000000018','102332000018','2026-03-10T04:00:03.000000Z');
insert into "payee_change" values (3,'policy_bn70da29kzyg2b12','person_gtk4w60v3vnx0d12','insured','测试丙','6222020000000000018','102332000018','2026-03-10T04:00:06.000000Z');
insert into "payout" values ('pay_tbwp38634vghmj7c','case_vxgwk6ebp0d557aa','det_9ban42n4s9yks0v2','policy_gac8er7qkegax9cw','person_pr4y0fp1eqqab8v5','insured',45000,'main','paid','',1,NULL,'测试甲','6222020000000000018','102332000018','医疗保险金 赔案号case_vxgwk6ebp0d557aa',0,'2026-03-10T04:00:03.000000Z','2026-03-10T04:00:03.000000Z');
insert into "payout" values ('pay_j37mmdx4qz265xa3','case_8pq0kyhq32jhk6yw','det_8atsnc5b9zj4wh6m','policy_bn70da29kzyg2b12','person_gtk4w60v3vnx0d12','insured',45000,'main','ordered','',1,NULL,'测试丙','6222020000000000018','102332000018','医疗保险金 赔案号case_8pq0kyhq32jhk6yw',0,'2026-03-10T04:00:06.000000Z',NULL);
insert into "person" values ('person_pr4y0fp1eqqab8v5','1949-12-31','F',NULL,'zh','','','',NULL,'2026-03-10T04:00:00.000000Z');
insert into "person" values ('person_n668b1m8z8tyqtzz','1980-01-01','M',NULL,'zh','','','',NULL,'2026-03-10T04:00:03.000000Z');
insert into "person" values ('person_gtk4w60v3vnx0d12','1980-05-05','F',NULL,'zh','','','',NULL,'2026-03-10T04:00:06.000000Z');
insert into "person_alias" values ('policy','','P-1','person_pr4y0fp1eqqab8v5','2026-03-10T04:00:00.000000Z');
insert into "person_alias" values ('policy','','P-2','person_n668b1m8z8tyqtzz','2026-03-10T04:00:03.000000Z');
insert into "person_alias" values ('policy','','P-3','person_gtk4w60v3vnx0d12','2026-03-10T04:00:06.000000Z');
insert into "person_document" values ('citizen:11010519491231002X','CN','person_pr4y0fp1eqqab8v5','resident_id','11010519491231002X',NULL,'2026-03-10T04:00:00.000000Z');
insert into "person_document" values ('citizen:34052419800101001X','CN','person_n668b1m8z8tyqtzz','resident_id','34052419800101001X',NULL,'2026-03-10T04:00:03.000000Z');
insert into "person_document" values ('citizen:990000198005051241','CN','person_gtk4w60v3vnx0d12','resident_id','990000198005051241',NULL,'2026-03-10T04:00:06.000000Z');
insert into "person_name" values ('person_pr4y0fp1eqqab8v5','测试甲','测试甲','测试甲|1949-12-31',NULL,'2026-03-10T04:00:00.000000Z');
insert into "person_name" values ('person_n668b1m8z8tyqtzz','测试乙','测试乙','测试乙|1980-01-01',NULL,'2026-03-10T04:00:03.000000Z');
insert into "person_name" values ('person_gtk4w60v3vnx0d12','测试丙','测试丙','测试丙|1980-05-05',NULL,'2026-03-10T04:00:06.000000Z');
insert into "policy" values ('policy_gac8er7qkegax9cw','P-1','hospital-expense-2020',NULL,'main','2026-03-10T04:00:00.000000Z');
insert into "policy" values ('policy_me8y3td0tnh46r3q','P-2','hospital-expense-2020',NULL,'main','2026-03-10T04:00:03.000000Z');
insert into "policy" values ('policy_bn70da29kzyg2b12','P-3','hospital-expense-2020',NULL,'main','2026-03-10T04:00:06.000000Z');
insert into "policy_change" values (1,'policy_gac8er7qkegax9cw',NULL,'period','2026-01-01','2026-12-31','2025-01-01','','2026-03-10T04:00:00.000000Z');
insert into "policy_change" values (2,'policy_me8y3td0tnh46r3q',NULL,'period','2026-01-01','2026-12-31','2025-01-01','','2026-03-10T04:00:03.000000Z');
insert into "policy_change" values (3,'policy_bn70da29kzyg2b12',NULL,'period','2026-01-01','2026-12-31','2025-01-01','','2026-03-10T04:00:06.000000Z');
insert into "product_version" values ('11fac35d85d8fc35a81b4a9daed776158b3ee1a3dc6e34b993891a909d8d4471','hospital-expense-2020','# 安织住院万元护: a small hospital-expense policy with a small accident part. Invented.
format = 1
product = "hospital-expense-2020"
name = "安织住院万元护（2020）"
name_en = "Anzhi Hospital Expense Cover (2020)"

[[benefit]]
id = "accident"
kind = "accident"
order = 1
name = "意外医疗保险金"
name_en = "Accident medical benefit"

[[benefit]]
id = "inpatient"
kind = "inpatient"
order = 2
name = "住院医疗保险金"
name_en = "Hospital expense benefit"

[[authority]]
id = "machine"
from = 2020-01-01
clause = "A1"
yuan = "10000.00"

[[cover]]
id = "accident_window"
from = 2020-01-01
clause = "1.1"
accident_days = 180
benefits = ["accident"]

[[cover]]
id = "stay_window"
from = 2020-01-01
clause = "1.2"
tail_days = 30
pre_days = 7
post_days = 7
stay_year = "line_date"
benefits = ["inpatient"]

[[waiting]]
id = "disease"
from = 2020-01-01
clause = "1.3"
general_days = 30
special = [{ days = 120, icd = ["N80", "N83", "N84", "D25", "E04", "J35", "K40"] }]
benefits = ["inpatient"]

[[deductible]]
id = "stay"
from = 2020-01-01
clause = "1.4"
yuan = "100.00"
basis = "claim"
benefits = ["inpatient"]

[[ratio]]
id = "accident_share"
from = 2020-01-01
clause = "1.5"
rows = [{ rate = "1.00" }]
benefits = ["accident"]

[[ratio]]
id = "stay_share"
from = 2020-01-01
clause = "1.6"
zero_settlement = "not_used"
rows = [
    { situation = ["settled"], rate = "0.90" },
    { situation = ["enrolled_not_used"], rate = "0.60" },
    { situation = ["not_enrolled"], class = ["甲", "乙"], rate = "0.70" },
    { rate = "0.50" },
]
benefits = ["inpatient"]

[[limit]]
id = "accident_year"
from = 2020-01-01
clause = "1.7"
basis = "year"
yuan = "2000.00"
benefits = ["accident"]

[[limit]]
id = "stay_drugs"
from = 2020-01-01
clause = "1.8"
basis = "claim"
categories = ["09", "10", "11"]
yuan = "3000.00"
benefits = ["inpatient"]

[[limit]]
id = "stay_year"
from = 2020-01-01
clause = "1.9"
basis = "year"
yuan = "10000.00"
benefits = ["inpatient"]

[[limit]]               # policies that begin in 2024 or later
id = "stay_year"
from = 2024-01-01
clause = "1.9"
basis = "year"
yuan = "15000.00"
benefits = ["inpatient"]

[[bed_cap]]
id = "bed"
from = 2020-01-01
clause = "2.1"
yuan = "80.00"

[[hospital]]
id = "hospital"
from = 2020-01-01
clause = "2.2"
min_level = 2
ordinary_ward_only = true
emergency_exempt = true

[[exclusion]]
id = "illness"
from = 2020-01-01
clause = "2.3"
icd = ["F", "O", "Q", "Z"]

[[exclusion]]
id = "treatments"
from = 2020-01-01
clause = "2.4"
treatments = ["cosmetic", "ivf"]

[[sex_rule]]
id = "sex"
from = 2020-01-01
clause = "A2"
female_icd = ["N80", "N83", "N84", "D25", "O"]
male_icd = ["N40", "N41"]
','60e6a8ed998d5bf0eccc8dce6348c4f98e7b0f0500ae65fbf1e75727a1bfa4b5','2026-03-10T04:00:03.000000Z');
insert into "sender" values ('H33020000001','{"id":"H33020000001","hospital":"H33020000001","hl7_facility":"H001"}','ad9c1638d2535b4c2fc0f29dd54ebbe298ff01ee3197e0abe12a547b12edcc21');
insert into "task" values (1,'bank',34,'PayoutOrdered/1','2026-03-10T04:00:06.000000Z',0,NULL);
insert into "task" values (2,'',36,'','2026-03-10T04:00:06.000000Z',0,NULL);
insert into "task" values (3,'',37,'','2026-03-10T04:00:06.000000Z',1,'ValueError: cannot be handled');
insert into "task" values (4,'',38,'','2026-03-10T04:00:06.000000Z',0,NULL);
insert into "usage_addition" values ('policy_gac8er7qkegax9cw','person_pr4y0fp1eqqab8v5','det_9ban42n4s9yks0v2','2026-01-01','limit','stay_year',45000,'');
insert into "usage_addition" values ('policy_bn70da29kzyg2b12','person_gtk4w60v3vnx0d12','det_8atsnc5b9zj4wh6m','2026-01-01','limit','stay_year',45000,'');
insert into "visit" values ('H33020000001','ZY20260301','person_pr4y0fp1eqqab8v5','case_vxgwk6ebp0d557aa',NULL,'2026-03-10T04:00:01.000000Z');
insert into "visit" values ('H33020000001','ZY2','person_pr4y0fp1eqqab8v5','case_9r0g43tde2qd9vvs',NULL,'2026-03-10T04:00:04.000000Z');
insert into "visit" values ('H33020000001','ZY3','person_pr4y0fp1eqqab8v5','case_7sazmwjs28k3ehcc',NULL,'2026-03-10T04:00:06.000000Z');
insert into "visit" values ('H33020000001','ZY4','person_gtk4w60v3vnx0d12','case_8pq0kyhq32jhk6yw',NULL,'2026-03-10T04:00:06.000000Z');
insert into "visit_alias" values ('H33020000001','bill','33060226-0000000001','ZY20260301');
insert into "visit_alias" values ('H33020000001','bill','33060226-0000000002','ZY2');
insert into "visit_alias" values ('H33020000001','bill','33060226-0000000004','ZY4');
